package pods

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/lifecycle"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/retry"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes"
)

// erase removes all that the pod ever had, and tries again until it is gone: the caller
// does not ask a second time (protocol 4).
func (l *life) erase(ctx context.Context) lifecycle.Observation {
	used := metered{l.pod}.settle(ctx, phaseDeleted)
	tries := retry.New(time.Second, 30*time.Second)
	for {
		err := l.eraseOnce(ctx)
		if err == nil {
			break
		}
		if tries.Failed(ctx, "the pod could not be removed, trying again", err) != nil {
			return l.seen // the record brings the next run back to this
		}
	}
	fault.Point("pods.delete.erased")
	// Not before: a container that could not be stopped goes with its sandbox.
	l.node.accelerators.Release(string(l.spec.UID))
	fault.Point("pods.delete.released")
	l.node.images.Drop(string(l.spec.UID))
	l.forget()
	l.node.config.Meter.Forget(string(l.spec.UID))
	l.events.Tell(ctx, EventDeleted, "", used)
	l.erased = true
	return l.seen
}

// eraseOnce is one try of erase. What is gone already is success.
func (p *pod) eraseOnce(ctx context.Context) error {
	names, err := p.sandboxNames(ctx)
	problems := []error{err}
	for _, name := range names {
		problems = append(problems, p.node.sandboxes.Destroy(ctx, name))
	}
	fault.Point("pods.delete.destroyed")
	problems = append(problems, p.unlink())
	fault.Point("pods.delete.unlinked")
	problems = append(problems, p.logs.Remove(ctx))
	fault.Point("pods.delete.unarchived")
	if err := errors.Join(problems...); err != nil {
		return err
	}
	// Nothing of the pod runs any more.
	if err := p.node.claims.Release(ctx, string(p.spec.UID), volumes.ClaimFolders(p.spec)); err != nil {
		return err
	}
	fault.Point("pods.delete.reclaimed")
	// The record goes last: it brings the next run back to this.
	if err := p.node.store.RemoveDevices(p.spec.UID); err != nil {
		return err
	}
	return p.record.Remove()
}

// sandboxNames are those of all sandboxes that are the pod's: a claim may have got
// another one than is on disk yet, and a record that is refused may name none.
func (p *pod) sandboxNames(ctx context.Context) ([]string, error) {
	r := p.record.Load()
	names := []string{r.Sandbox, r.Replaced}
	if p.claim != nil {
		names = append(names, p.claim.Actual())
	}
	var err error
	if r.Sandbox == "" {
		var named string
		named, err = p.node.sandboxes.Named(ctx, string(p.spec.UID))
		names = append(names, named)
	}
	slices.Sort(names)
	return slices.DeleteFunc(slices.Compact(names), func(name string) bool { return name == "" }), err
}

// unlink removes the pod's link, whatever the namespace in its name where a record
// that is refused does not tell it.
func (p *pod) unlink() error {
	links := []string{p.link()}
	if p.spec.Namespace == "" {
		// The pattern is a UID behind a star, and so never a bad one.
		links, _ = filepath.Glob(filepath.Join(p.node.config.Dir, "*-"+string(p.spec.UID)))
	}
	for _, link := range links {
		if err := os.Remove(link); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove the pod's folder name: %w", err)
		}
	}
	return nil
}
