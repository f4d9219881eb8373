package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/log"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/eviction"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/images"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pods"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes"
)

// engineDisk measures the disk of the engine's data, where that is seen from here.
func engineDisk(s config.Config, info engine.Info) (func() (eviction.Space, error), error) {
	if s.DockerHost != "" && !strings.HasPrefix(s.DockerHost, "unix://") {
		return nil, errors.New("the engine may be on another machine")
	}
	// Every engine has volumes there: a folder of the same name is another's.
	if _, err := os.Stat(filepath.Join(info.RootDir, "volumes")); err != nil {
		return nil, fmt.Errorf("the engine's data folder cannot be seen from here: %w", err)
	}
	return func() (eviction.Space, error) { return eviction.SpaceOf(info.RootDir) }, nil
}

// newDiskWatch looks after the disks of pods' folders and of the engine's data. The
// error says why it does not look after the latter.
func newDiskWatch(s config.Config, info engine.Info, pods eviction.Pods, reclaim func(context.Context) error) (*eviction.Watch, error) {
	c := eviction.Config{Pods: pods, Folders: func() (eviction.Space, error) { return eviction.SpaceOf(existing(s.DataRootFolder)) }}
	images, err := engineDisk(s, info)
	c.Images = images
	for _, t := range s.Thresholds() {
		c.Thresholds = append(c.Thresholds, eviction.Threshold{Signal: t.Signal, Percent: t.Percent, Amount: t.Amount,
			Images: t.Signal == config.SignalImageAvailable || t.Signal == config.SignalImageInodes,
			Inodes: t.Signal == config.SignalNodeInodes || t.Signal == config.SignalImageInodes})
	}
	if s.ImageGC == config.ImageGCEnabled {
		c.Reclaim = reclaim
	}
	return eviction.New(c), err
}

// watchDisks is newDiskWatch for a docker-sd that goes on without that disk.
func (d *daemon) watchDisks(ctx context.Context, info engine.Info, manager *pods.Manager, provider *images.Provider) *eviction.Watch {
	watch, err := newDiskWatch(d.settings, info, manager, provider.Reclaim)
	if err != nil {
		log.G(ctx).WithError(err).Warn("the disk of the engine's data is not watched, pods may fill it")
	}
	return watch
}

// existing is a path, or the innermost folder above it that is there: a check looks
// before docker-sd has made its own.
func existing(path string) string {
	for path != filepath.Dir(path) {
		if _, err := os.Stat(path); err == nil {
			break
		}
		path = filepath.Dir(path)
	}
	return path
}

// measure is for a folder that pods write to.
func measure(ctx context.Context, root, below string) (eviction.Amount, error) {
	bytes, inodes, err := volumes.Measure(ctx, root, below)
	return eviction.Amount{Bytes: bytes, Inodes: inodes}, err
}
