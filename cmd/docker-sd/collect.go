package main

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/containerd/containerd/log"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/images"
)

// collectImages removes unused images until ctx ends, if the operator wants that.
func (d *daemon) collectImages(ctx context.Context, p *parts) {
	s := d.settings
	if s.ImageGC == config.ImageGCDisabled {
		return
	}
	c := images.Collection{DryRun: s.ImageGC == config.ImageGCDryRun, MaximumAge: s.ImageMaximumGCAge, MinimumAge: s.ImageMinimumGCAge,
		HighThresholdPercent: s.ImageGCHighThresholdPercent, LowThresholdPercent: s.ImageGCLowThresholdPercent,
		InUse: func() []string {
			return slices.Concat(p.manager.ImagesInUse(), []string{s.SandboxImageName()}, s.ImagesToKeep)
		}}
	disk, err := images.DiskOf(p.info.RootDir)
	if s.DockerHost != "" && !strings.HasPrefix(s.DockerHost, "unix://") {
		disk, err = nil, errors.New("the engine may be on another machine")
	}
	if err != nil && s.ImageGCHighThresholdPercent < 100 {
		log.G(ctx).WithError(err).Warn("images are collected by age only: the disk of the engine cannot be measured")
	}
	c.Disk = disk
	p.images.Collect(ctx, c)
}
