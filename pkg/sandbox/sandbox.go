// Package sandbox makes, boots, finds and removes Docker-in-Docker sandboxes. It keeps
// no account of them: which pod has which, and how many wait, is for pkg/pool.
package sandbox

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// Sandbox is one Docker-in-Docker container with its own network: the place of
// one pod. It is used once.
type Sandbox struct {
	// Name is the pool name, <uuid>_dind (protocol 8.1). It stays the sandbox's
	// identity in labels and records after the container was renamed for a pod.
	Name string
	// ID is the container's id on the host engine.
	ID string
	// IP is the sandbox's address on its network, which is the pod's address.
	IP string
	// Dir is this sandbox's folder on the host, at the same path inside.
	Dir string
	// Booted is when the sandbox's container was made, Started when it was started
	// last, and Stopped when it stopped before that, zero if it never did. All that ran in
	// it before Started has ended.
	Booted, Started, Stopped time.Time
	// Engine is the engine inside, Init the first process.
	Engine *engine.Client
	Init   *initapi.Client
	// Image that it was made from, by the name that it has inside where layers are
	// shared.
	Image string

	// bounds that its container has.
	bounds engine.Bounds
	// hostName of the container when it was found: the pool name or a pod's.
	hostName string
	// running ends, by a call of end, when the container does not run any more.
	running context.Context
	end     context.CancelFunc
	// holder is the container that has its network, "" if it has that itself.
	holder string
}

// Gone is closed when the sandbox's container does not run any more, which nothing
// watches of one that no Maker made.
func (s *Sandbox) Gone() <-chan struct{} {
	if s.running == nil {
		return nil
	}
	return s.running.Done()
}

// AfterGone calls f, which must not block, once the sandbox is gone, unless stop is
// called before. Unlike a goroutine that waits for Gone it costs no stack till then.
func (s *Sandbox) AfterGone(f func()) (stop func() bool) { return context.AfterFunc(s.running, f) }

// PodDir is the folder for the pod's volumes, at the same path inside.
func (s *Sandbox) PodDir() string { return podDir(s.Dir) }

func podDir(dir string) string { return filepath.Join(dir, "pod") }

// EngineStarted is when the sandbox's engine was started last, which its init notes at
// the socket.
func (s *Sandbox) EngineStarted() (time.Time, error) {
	info, err := os.Stat(socketPath(s.Dir))
	if err != nil {
		return time.Time{}, err
	}
	return info.ModTime(), nil
}

// primeName is no pod's container's: those have three parts.
const primeName = "prime"

// Prime runs a container that does nothing, in a sandbox that waits for a pod: the
// first one after a boot takes half as long again as those after it, and it should not
// be a pod's. Failing is no harm.
func (s *Sandbox) Prime(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	spec, err := s.ProgramSpec(ctx, initapi.TrueCommand())
	if err != nil {
		return err
	}
	spec.Name = primeName
	id, err := s.Engine.Create(ctx, spec)
	if err != nil {
		return err
	}
	fault.Point("sandbox.prime.created")
	if err = s.Engine.Start(ctx, id); err == nil {
		_, err = s.Engine.Wait(ctx, id)
	}
	return errors.Join(err, s.Engine.Remove(context.WithoutCancel(ctx), id))
}

// programImage is an image without files, in the engine of a sandbox.
const programImage = "docker-sd.invalid/empty:1"

// ProgramSpec is a container that runs the sandbox's init with another command. It
// holds that one file and no image of a user's, so it is there however images reach
// the sandbox.
func (s *Sandbox) ProgramSpec(ctx context.Context, command []string) (engine.Spec, error) {
	spec := engine.Spec{Image: programImage, Entrypoint: command, Network: "host",
		Mounts: []engine.Mount{{Source: initapi.ProgramPath, Target: initapi.ProgramPath, ReadOnly: true}}}
	_, err := s.Engine.Image(ctx, programImage)
	if errdefs.IsNotFound(err) {
		err = s.Engine.ImportEmpty(ctx, programImage)
	}
	return spec, err
}
