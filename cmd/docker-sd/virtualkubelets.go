package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/containerd/containerd/log"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/api"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/preflight"
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

// virtualKubelets judges the address for them, and what both sides show.
func (p *examination) virtualKubelets() []preflight.Line {
	own := p.settings.InterlinkAPI
	if !own.On() {
		return []preflight.Line{preflight.InterlinkOff()}
	}
	network, address := p.settings.InterlinkAPI.Listen()
	port := preflight.Port{Name: "interlink api", Network: network, Address: address, Served: p.running.Interlink == address, Taken: preflight.Fail}
	if preflight.IsWide(network, address) {
		port.Wide = preflight.WideInterlink(own.ClientCAFile != "")
	}
	lines := []preflight.Line{port.Judge(dial, bind)}
	if network == "unix" && p.settings.SocketShare.Group != "" {
		lines = append(lines, socketGroup(p.settings.SocketShare.Group, address))
	}
	guard, err := newGuard(own.Callers)
	if err != nil {
		return append(lines, preflight.Line{Name: "interlink api access", Verdict: preflight.Fail, Found: "InterlinkAPI: " + err.Error(), Do: "see docs/security.md"})
	}
	if guard.tls == nil {
		return lines
	}
	shown, err := guard.tls.GetConfigForClient(nil)
	if err != nil || shown.Certificates[0].Leaf == nil {
		return lines // it was read above
	}
	return append(lines, preflight.Certificate(shown.Certificates[0].Leaf, own.CertFile, time.Now()))
}

func (v virtualKubelets) close() error {
	if v.listener == nil {
		return nil
	}
	return v.listener.Close()
}
