package main

import (
	"fmt"
	"net"
	"path"
	"strings"
)

// defaultHost is where an engine listens when DOCKER_HOST is not set.
const defaultHost = "unix:///var/run/docker.sock"

// endpoint is an address of an engine in the terms of package net.
type endpoint struct {
	network, address string
}

// parseHost reads a DOCKER_HOST value: unix:///absolute/path or tcp://host:port.
// TLS and ssh are refused: the lab talks plain HTTP.
func parseHost(host string) (endpoint, error) {
	scheme, address, _ := strings.Cut(host, "://")
	switch scheme {
	case "unix":
		if !path.IsAbs(address) {
			return endpoint{}, fmt.Errorf("DOCKER_HOST %q: the socket needs an absolute path, as in %s", host, defaultHost)
		}
		return endpoint{"unix", path.Clean(address)}, nil
	case "tcp":
		name, port, err := net.SplitHostPort(strings.TrimSuffix(address, "/"))
		if err != nil || name == "" || port == "" {
			return endpoint{}, fmt.Errorf("DOCKER_HOST %q: a host and a port are needed, as in tcp://127.0.0.1:2375", host)
		}
		return endpoint{"tcp", net.JoinHostPort(name, port)}, nil
	}
	return endpoint{}, fmt.Errorf("DOCKER_HOST %q: only unix:// and tcp:// are supported", host)
}

// String returns the endpoint as a DOCKER_HOST value.
func (e endpoint) String() string {
	return e.network + "://" + e.address
}
