package main

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/containerd/containerd/log"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/api"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
)

// virtualKubelets is the address where docker-sd is interLink's API server (InterlinkAPI).
type virtualKubelets struct {
	listener net.Listener // nil where it is off
	guard    guard
}

// listenForVirtualKubelets binds the address. What is open when it fails is closed.
func listenForVirtualKubelets(settings config.Config) (virtualKubelets, error) {
	var v virtualKubelets
	if !settings.InterlinkAPI.On() {
		return v, nil
	}
	var err error
	if v.guard, err = newGuard(settings.InterlinkAPI.Callers); err != nil {
		return v, fmt.Errorf("InterlinkAPI: %w", err)
	}
	if v.listener, err = api.Listen(settings.InterlinkAPI.Listen()); err != nil {
		return v, fmt.Errorf("InterlinkAPI: %w", err)
	}
	if err = shareSocket(settings.SocketShare, v.listener.Addr()); err != nil {
		return v, errors.Join(fmt.Errorf("InterlinkAPI: %w", err), v.close())
	}
	return v, nil
}

// tell writes into the log where Virtual Kubelets may call and what they have to show.
func (v virtualKubelets) tell(ctx context.Context) {
	if v.listener == nil {
		return
	}
	log.G(ctx).WithFields(log.Fields{"address": v.listener.Addr().String(), "tls": v.guard.tls != nil, "certificates": v.guard.clients,
		"token": v.guard.authorized != nil}).Info("docker-sd answers Virtual Kubelets as interLink's API server")
}

func (v virtualKubelets) close() error {
	if v.listener == nil {
		return nil
	}
	return v.listener.Close()
}
