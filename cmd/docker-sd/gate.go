package main

import (
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/api"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pods"
)

// gate stands for the pods until they can be made: the listener is bound before
// the engine has answered. The server holds calls back until Ready, which comes
// after open, so the manager is there when a call is.
type gate struct{ *pods.Manager }

var _ api.Pods = &gate{}

func newGate() *gate { return &gate{} }

func (g *gate) open(m *pods.Manager) { g.Manager = m }
