// Package podlogs reads and follows the logs of one pod's containers. They are in the
// engine of the pod's sandbox. Those of a pod that has ended are kept as files, since the
// pod stays until it is deleted and must not hold its sandbox for that long.
package podlogs

import (
	"context"
	"path/filepath"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
	"golang.org/x/sync/semaphore"
	v1 "k8s.io/api/core/v1"
)

// maxReaders is more than there are log readers; Pause takes them all.
const maxReaders = 1 << 30

// Logs are the logs of one pod's containers: in the sandbox's engine, and files once
// they have been kept.
type Logs struct {
	spec     *v1.Pod
	statuses *podstatus.Statuses
	// dir of the files.
	dir string
	// kept says that the logs are files, as far as there are any.
	kept func() bool
	// engine is that of the pod's sandbox, ErrUnavailable if there is none.
	engine func() (*engine.Client, error)
	// done is closed when there is nothing more to follow.
	done <-chan struct{}
	// reading is held by readers.
	reading *semaphore.Weighted
}

// New returns the logs of a pod. dataDir is the folder of all that docker-sd keeps;
// kept says whether the logs are files by now; inner is the engine of the pod's sandbox,
// ErrUnavailable if there is none; done is closed when there is nothing more to follow.
func New(dataDir string, spec *v1.Pod, statuses *podstatus.Statuses, kept func() bool,
	inner func() (*engine.Client, error), done <-chan struct{}) *Logs {
	return &Logs{spec: spec, statuses: statuses, dir: filepath.Join(dataDir, "archive", string(spec.UID)), kept: kept,
		engine: inner, done: done, reading: semaphore.NewWeighted(maxReaders)}
}

// Pause waits until no reader is left and holds new ones back until resume is called.
// The error is ctx's.
func (l *Logs) Pause(ctx context.Context) (resume func(), err error) {
	if err := l.reading.Acquire(ctx, maxReaders); err != nil {
		return nil, err
	}
	return func() { l.reading.Release(maxReaders) }, nil
}
