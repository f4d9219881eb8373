package containers

import (
	"context"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes"
)

// Volumes are a pod's volumes, which are made ready beside containers that run already.
type Volumes struct {
	ready chan struct{}
	set   *volumes.Set
	err   error
}

// NewVolumes returns volumes that are not ready.
func NewVolumes() *Volumes { return &Volumes{ready: make(chan struct{})} }

// Fill ends the waiting, once. It returns err.
func (v *Volumes) Fill(set *volumes.Set, err error) error {
	v.set, v.err = set, err
	close(v.ready)
	return err
}

// Wait returns the volumes, or why there are none.
func (v *Volumes) Wait(ctx context.Context) (*volumes.Set, error) {
	select {
	case <-v.ready:
		return v.set, v.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
