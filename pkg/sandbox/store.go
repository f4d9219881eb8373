package sandbox

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// StoreHost is what an ImageStore needs of the host's engine.
type StoreHost interface {
	// CreateOnce returns the container that has the name already, if there is one.
	CreateOnce(context.Context, engine.Spec) (string, error)
	Start(ctx context.Context, id string) error
	List(ctx context.Context, labels ...string) ([]engine.Container, error)
	Remove(ctx context.Context, id string) error
}

// ImageStore is an engine of docker-sd's own that no pod runs in, for hosts whose
// images have a layout that cannot be shared. Images are loaded into it once; its
// data is a volume that sandboxes mount read-only. It may lose anything at any
// time: what is missing is loaded again.
type ImageStore struct {
	config Config
	dir    string
	host   StoreHost
	engine *engine.Client
	// turn is held while the engine's container is made or started.
	turn chan struct{}
}

// NewImageStore makes an ImageStore that does nothing until it is used. Its socket is in
// dir; its container is made as that of a sandbox.
func NewImageStore(config Config, dir string, host StoreHost) (*ImageStore, error) {
	inner, err := connectEngine(dir, nil)
	if err != nil {
		return nil, err
	}
	return &ImageStore{config: config, dir: dir, host: host, engine: inner, turn: make(chan struct{}, 1)}, nil
}

// RetiringHost is what RetireStore needs of the host's engine.
type RetiringHost interface {
	List(ctx context.Context, labels ...string) ([]engine.Container, error)
	Remove(ctx context.Context, id string) error
	RemoveVolume(ctx context.Context, name string) error
}

// RetireStore removes the container of an instance's ImageStore, on a host that has come to
// need none, and its images unless sandboxes of before still share them.
func RetireStore(ctx context.Context, host RetiringHost, instance string) error {
	found, err := host.List(ctx, engine.LabelInstance+"="+instance, engine.LabelStore)
	problems := []error{err}
	for _, c := range found {
		problems = append(problems, host.Remove(ctx, c.ID))
	}
	if err := host.RemoveVolume(ctx, StoreVolumeName(instance)); !errdefs.IsConflict(err) {
		problems = append(problems, err)
	}
	return errors.Join(problems...)
}

// Close drops connections; the engine goes on running.
func (s *ImageStore) Close() error { return s.engine.Close() }

// StoreVolumeName is the name of the volume with the images of an ImageStore.
func StoreVolumeName(instance string) string { return instance + "-images" }

// storedRepository holds one name for each image, from its id on the host, which
// is another one than in here: kinds of image store count different bytes. The
// name is given last, so an image that has one is complete.
const storedRepository = "docker-sd.invalid/host"

// StoredName is the name in an ImageStore, and in sandboxes, of an image of the host.
func StoredName(hostID string) string {
	_, digest, _ := strings.Cut(hostID, ":")
	return storedRepository + ":" + digest
}

// Has says whether the image of the host is there.
func (s *ImageStore) Has(ctx context.Context, hostID string) (bool, error) {
	_, err := s.engine.Image(ctx, StoredName(hostID))
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// Load has an image of the host copied here unless it is here. Two at a time of
// one image do no harm.
func (s *ImageStore) Load(ctx context.Context, hostID string, copyTo func(context.Context, *engine.Client) (string, error)) error {
	if err := s.open(ctx); err != nil {
		return err
	}
	if there, err := s.Has(ctx, hostID); there || err != nil {
		return err
	}
	id, err := copyTo(ctx, s.engine)
	if err != nil {
		return err
	}
	return s.engine.TagImage(ctx, id, StoredName(hostID))
}

// List returns the images that are there: their id here by their id on the host.
func (s *ImageStore) List(ctx context.Context) (map[string]string, error) {
	if err := s.open(ctx); err != nil {
		return nil, err
	}
	found, err := s.engine.TaggedImages(ctx, storedRepository)
	if err != nil {
		return nil, err
	}
	out := map[string]string{}
	for name, id := range found {
		if digest, ours := strings.CutPrefix(name, storedRepository+":"); ours {
			out["sha256:"+digest] = id
		}
	}
	return out, nil
}

// Drop removes an image of the host from here.
func (s *ImageStore) Drop(ctx context.Context, hostID string) error {
	return s.engine.DropImage(ctx, StoredName(hostID))
}

// open makes the engine's container, or starts it, and returns when the engine
// answers.
func (s *ImageStore) open(ctx context.Context) error {
	ctx, cancel := advancing(ctx, s.config.BootTimeout, StoreVolumeName(s.config.Instance), s.dir)
	defer cancel()
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return stuck(ctx, fmt.Errorf("wait for docker-sd's image store to open: %w", ctx.Err()))
	}
	id, err := s.find(ctx)
	if err == nil && id == "" {
		id, err = s.make(ctx)
	}
	if err == nil {
		err = s.host.Start(ctx, id)
	}
	if err == nil {
		err = s.answers(ctx)
	}
	if err != nil {
		return stuck(ctx, fmt.Errorf("open docker-sd's image store: %w", err))
	}
	return nil
}

func (s *ImageStore) generation() string { return s.config.Generation(Hardware{}) }

// find returns the container's id, "" if there is none. One of other settings is
// removed; its images stay.
func (s *ImageStore) find(ctx context.Context) (string, error) {
	found, err := s.host.List(ctx, engine.LabelInstance+"="+s.config.Instance, engine.LabelStore)
	if err != nil {
		return "", err
	}
	for _, c := range found {
		if c.Labels[engine.LabelGeneration] == s.generation() {
			return c.ID, nil
		}
		if err := s.host.Remove(ctx, c.ID); err != nil {
			return "", err
		}
	}
	return "", nil
}

func (s *ImageStore) make(ctx context.Context) (string, error) {
	if err := os.MkdirAll(s.dir, 0o700); err != nil {
		return "", err
	}
	labels := map[string]string{engine.LabelInstance: s.config.Instance, engine.LabelStore: "", engine.LabelGeneration: s.generation()}
	volume := StoreVolumeName(s.config.Instance)
	spec := s.config.engineSpec(volume, s.dir, initapi.BootCommand(false, false, engineFlags...), labels)
	spec.Network = "none"
	spec.Mounts = append(spec.Mounts, engine.Mount{Source: volume, Target: initapi.DataPath, Volume: true, Instance: s.config.Instance})
	return s.config.create(ctx, s.host.CreateOnce, spec)
}

func (s *ImageStore) answers(ctx context.Context) error {
	tick := time.NewTicker(readyPoll)
	defer tick.Stop()
	for {
		err := s.engine.Ping(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("its engine does not answer: %w", err)
		case <-tick.C:
		}
	}
}
