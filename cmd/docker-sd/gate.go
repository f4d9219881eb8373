package main

import (
	"context"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pods"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes"
)

// gate stands for the pods until they can be made: the listener is bound before
// the engine has answered. The server holds calls back until Ready, which comes
// after open, so the pointer is there when a call is.
type gate struct{ *pods.Manager }

func newGate() *gate { return &gate{} }

func (g *gate) open(m *pods.Manager) { g.Manager = m }

// Interface in full, so that a call before open cannot compile into something
// that is not forwarded.
var _ interface {
	Create(context.Context, *v1.Pod, volumes.Data) (string, error)
	Delete(context.Context, types.UID, *int64) error
	Status(*v1.Pod) (pods.Report, bool)
	FindLogs(pods.LogQuery) (*pods.LogSource, error)
} = &gate{}

// outermost drops paths that are below another one.
func outermost(paths []string) []string {
	slices.Sort(paths)
	var out []string
	for _, path := range slices.Compact(paths) {
		below := func(outer string) bool { return strings.HasPrefix(path, strings.TrimSuffix(outer, "/")+"/") }
		if !slices.ContainsFunc(out, below) {
			out = append(out, path)
		}
	}
	return out
}
