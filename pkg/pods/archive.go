package pods

import (
	"context"
	"errors"
	"time"

	"github.com/containerd/containerd/log"
	"golang.org/x/sys/unix"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/lifecycle"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/records"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/retry"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
)

// archive copies the logs of an ended pod out of its sandbox. It tries again where that
// may help, such as when the disk is full.
func (l *life) archive(ctx context.Context) lifecycle.Observation {
	tries := retry.New(time.Second, time.Minute)
	for {
		err := l.keepLogs(ctx, l.stay.Sandbox)
		if err == nil {
			tries.Succeeded(ctx, "the ended pod's logs are kept")
			return lifecycle.SeenRunning
		}
		if tries.Failed(ctx, "the ended pod keeps its sandbox for now: its logs could not be kept elsewhere", err) != nil {
			return l.seen
		}
		if closed(l.stay.Gone()) {
			return lifecycle.SeenExited // once more, as when its engine is being restarted
		}
	}
}

// keepLogs writes the logs and then the record. Of a pod that was evicted the logs are
// removed where a disk is full: they are what fills it.
func (p *pod) keepLogs(ctx context.Context, s *sandbox.Sandbox) error {
	evicted := p.wasEvicted()
	err := p.logs.Keep(ctx, s.Engine)
	if evicted && errors.Is(err, unix.ENOSPC) {
		log.G(ctx).Warn("the disk is too full to keep the logs of the evicted pod")
		err = p.logs.Remove(ctx)
	}
	if err != nil {
		return err
	}
	archived := func(r *records.Record) { r.Stage = r.Stage.Reach(lifecycle.StageArchived) }
	err = p.record.Change(archived)
	if evicted && errors.Is(err, unix.ENOSPC) {
		_ = p.record.Note(archived) // release saves it again, when there is room
		err = nil
	}
	if err == nil {
		fault.Point("pods.archive.recorded")
	}
	return err
}

// release gives up the sandbox of a pod whose logs are kept: all of it but its folder,
// which has the pod's volumes, and the folder as well if the pod was evicted. What
// cannot be removed is left to the sweep.
func (l *life) release(ctx context.Context) lifecycle.Observation {
	evicted := l.wasEvicted()
	if l.seen == lifecycle.SeenNothing && !evicted {
		l.locate()
		return lifecycle.SeenReleased // by an earlier run, or by the sweep of this one
	}
	l.locate()
	// Readers of the sandbox's logs finish first; new ones take the files.
	resume, err := l.logs.Pause(ctx)
	if err != nil {
		return l.seen
	}
	defer resume()
	l.node.images.Drop(string(l.spec.UID))
	name := l.record.Load().Sandbox
	if evicted {
		err = errors.Join(l.node.sandboxes.Destroy(ctx, name), l.record.Note(func(*records.Record) {}))
	} else {
		err = l.node.sandboxes.Release(ctx, name)
	}
	if err != nil && ctx.Err() == nil {
		log.G(ctx).WithError(err).Warn("the ended pod's sandbox is left to the sweep")
	}
	l.sandbox.Store(nil)
	return lifecycle.SeenReleased
}

// logsKept says that the pod's logs are files, as far as there are any.
func (p *pod) logsKept() bool {
	at := p.record.Load().Stage
	return at == lifecycle.StageArchived || at == lifecycle.StageRemoving
}
