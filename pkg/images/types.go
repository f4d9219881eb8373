package images

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/keyring"
)

// idsOf images.
func idsOf(images []engine.Image) []string {
	var out []string
	for _, image := range images {
		out = append(out, image.ID)
	}
	return out
}

// Image that a sandbox can run.
type Image struct {
	// ID in the sandbox's engine; containers are made from it, so that a tag
	// that moves meanwhile changes nothing.
	ID string
	// HostID is its id in the host's engine.
	HostID string
	// Digest is the registry's name for it, if it came from one.
	Digest string
	// User that the image runs as, "" for root.
	User string
	// Env of the image.
	Env []string
}

// Name for a container status.
func (i Image) Name() string {
	if i.Digest != "" {
		return "docker-pullable://" + i.Digest
	}
	return "docker://" + i.ID
}

// usable describes an image of the host as its sandbox runs it.
func usable(inside, onHost engine.Image) Image {
	out := Image{ID: inside.ID, HostID: onHost.ID, User: onHost.User, Env: onHost.Env}
	if len(onHost.Digests) > 0 {
		out.Digest = onHost.Digests[0]
	}
	return out
}

// Presence of an image.
type Presence int

// The answers of Find.
const (
	// Absent from the sandbox, in need of a copy.
	Absent Presence = iota
	// Ready to run in the sandbox.
	Ready
	// Newer than the sandbox: one booted now would share it, this one needs a copy.
	Newer
)

// Want is an image as a container asks for it.
type Want struct {
	Ref    string
	Policy v1.PullPolicy
	// Keys are the registry credentials that came with the pod; they are tried
	// before docker-sd's own.
	Keys keyring.Keyring
	// own says that it is docker-sd that needs the image, not a pod.
	own bool
	// Tell, unless nil, is told how far a pull is, in a sentence and, unless it is nil, in
	// numbers, once a second at most; it must not block.
	Tell func(message string, now *engine.PullProgress)
}

// named is the reference in its full form; a name that is none is a PullError.
func (w Want) named() (reference.Named, error) {
	named, err := reference.ParseDockerRef(w.Ref)
	if err != nil {
		return nil, &PullError{ReasonInvalid, fmt.Errorf("image %q: %w", w.Ref, err)}
	}
	return named, nil
}

// Reasons of a PullError, as kubelet writes them.
const (
	ReasonPull    = "ErrImagePull"
	ReasonInvalid = "InvalidImageName"
	ReasonNever   = "ErrImageNeverPull"
)

// PullError says why an image is not there. Trying again may help.
type PullError struct {
	Reason string
	Err    error
}

// Error is the engine's or the registry's sentence; the reason is not in it.
func (e *PullError) Error() string { return e.Err.Error() }

// Unwrap gives the cause.
func (e *PullError) Unwrap() error { return e.Err }

// Observer is told the time and size that images take. Its methods must not block.
type Observer interface {
	// Step is told that a step begins; the function that it returns is called once, with
	// the step's error. of are names and values, such as the image's.
	Step(ctx context.Context, step string, of ...string) (context.Context, func(error))
	// Pulled is told the unpacked size of an image that is new on the host.
	Pulled(bytes int64)
}

// The steps that an Observer is told of.
const (
	StepPull   = "pull"
	StepCopy   = "copy image"
	StepMirror = "mirror failed" // has no duration
)

// unobserved is an Observer that does nothing.
type unobserved struct{}

// Pulled does nothing.
func (unobserved) Pulled(int64) {}

// Step does nothing.
func (unobserved) Step(ctx context.Context, _ string, _ ...string) (context.Context, func(error)) {
	return ctx, func(error) {}
}

// invalidName makes a PullError of an engine's refusal to look an image up: an engine's
// rules for names differ from those that a reference is read by.
func invalidName(want Want, err error) error {
	if errdefs.IsInvalidArgument(err) {
		return &PullError{ReasonInvalid, fmt.Errorf("image %q: %w", want.Ref, err)}
	}
	return err
}
