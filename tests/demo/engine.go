package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// removeLabelled removes the containers and networks with a label from the
// engine that DOCKER_HOST names.
func removeLabelled(label string) error {
	filters := url.QueryEscape(fmt.Sprintf(`{"label":[%q]}`, label))
	var containers, networks []struct{ ID string }
	err := engine(http.MethodGet, "/containers/json?all=1&filters="+filters, &containers)
	for _, c := range containers {
		err = errors.Join(err, engine(http.MethodDelete, "/containers/"+c.ID+"?force=1&v=1", nil))
	}
	err = errors.Join(err, engine(http.MethodGet, "/networks?filters="+filters, &networks))
	for _, n := range networks {
		err = errors.Join(err, engine(http.MethodDelete, "/networks/"+n.ID, nil))
	}
	return err
}

func engine(method, path string, answer any) error {
	network, address := "unix", "/var/run/docker.sock"
	if host := os.Getenv("DOCKER_HOST"); host != "" {
		network, address, _ = strings.Cut(host, "://")
	}
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		}}}
	request, err := http.NewRequest(method, "http://docker"+path, nil)
	if err != nil {
		return err
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("%s %s: the engine answered %s", method, path, response.Status)
	}
	if answer == nil {
		return nil
	}
	return json.NewDecoder(response.Body).Decode(answer)
}
