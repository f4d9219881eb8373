package images

import (
	"context"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
)

// collectedHost is what a collection needs of the host's engine.
type collectedHost interface {
	Image(ctx context.Context, ref string) (engine.Image, error)
	Images(ctx context.Context) ([]engine.Image, error)
	RemoveImage(ctx context.Context, ref string) error
	List(ctx context.Context, labels ...string) ([]engine.Container, error)
}

// collector removes images of the host that only docker-sd has pulled and nothing uses.
type collector struct {
	host    collectedHost
	record  *record
	pins    *pins
	flights *flights
	// reclaims ask the collection under way for a round that removes all it may.
	reclaims chan chan error
}

// newCollector makes a collector of what is on record, but for what is pinned or being
// pulled.
func newCollector(host collectedHost, record *record, pins *pins, flights *flights) *collector {
	return &collector{host: host, record: record, pins: pins, flights: flights, reclaims: make(chan chan error)}
}

// run removes images until ctx ends.
func (g *collector) run(ctx context.Context, c Collection) {
	tick := time.NewTicker(c.period())
	defer tick.Stop()
	told := map[string]bool{}
	var asked chan error
	for {
		err := g.collect(ctx, c, told, asked != nil)
		if asked != nil {
			asked <- err
		} else if err != nil && ctx.Err() == nil {
			log.G(ctx).WithError(err).Warn("unused images could not be collected")
		}
		asked = nil
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case asked = <-g.reclaims:
		}
	}
}

// reclaim has a run remove every unused image, but for those
// used within the minimum age, however full the disk is.
func (g *collector) reclaim(ctx context.Context) error {
	done := make(chan error, 1)
	select {
	case g.reclaims <- done:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// collect is one round; all removes what it can. told are the images that a dry run
// has named.
func (g *collector) collect(ctx context.Context, c Collection, told map[string]bool, all bool) error {
	began := time.Now()
	unused, err := g.unused(ctx, c, began)
	if err != nil {
		return err
	}
	excess := int64(math.MaxInt64)
	if !all {
		if excess, err = c.excess(); err != nil {
			return err
		}
	}
	for _, image := range c.choose(unused, began, excess) {
		logger := log.G(ctx).WithField("image", image.ref).WithField("size", size(image.size)).
			WithField("unused", began.Sub(image.used).Round(time.Second))
		switch {
		case !c.DryRun:
			if err := g.remove(ctx, image, began); err != nil {
				logger.WithError(err).Warn("an unused image could not be removed")
				continue
			}
			logger.Info("unused image removed")
		case !told[image.ref]:
			told[image.ref] = true
			logger.Info("dry run: this unused image would be removed (ImageGC)")
		}
	}
	return nil
}

// unused looks at every recorded image: those that others have named are forgotten, those
// in use get a new time of use, the others are returned.
func (g *collector) unused(ctx context.Context, c Collection, now time.Time) ([]idle, error) {
	inUse, err := g.inUse(ctx, c)
	if err != nil {
		return nil, err
	}
	seen, skipped := g.record.snapshot(), g.record.skipped(now, c.period())
	ours := map[string]map[string]bool{}
	for ref, entry := range seen {
		if ours[entry.ID] == nil {
			ours[entry.ID] = map[string]bool{}
		}
		ours[entry.ID][ref] = true
	}
	settled := map[string]pulled{}
	var out []idle
	for ref, entry := range seen {
		if g.flights.underWay(ref) {
			settled[ref] = entry
			continue
		}
		image, err := g.host.Image(ctx, ref)
		if err != nil && !errdefs.IsNotFound(err) {
			return nil, err
		}
		if entry.ID == "" && !slices.Contains(entry.Before, image.ID) {
			entry.ID, entry.Before = image.ID, nil // complete when docker-sd was killed
			ours[image.ID] = map[string]bool{ref: true}
		}
		if err != nil || image.ID != entry.ID || foreign(image, entry, ours[entry.ID]) {
			log.G(ctx).WithField("image", ref).Debug("a pulled image is somebody else's now, or gone: it will not be collected")
			continue
		}
		entry.Used = g.record.lastUse(ref, entry.Used)
		if inUse[ref] || inUse[entry.ID] {
			entry.Used = now
		} else {
			entry.Used = earlier(entry.Used.Add(skipped), now)
			out = append(out, idle{ref: ref, id: entry.ID, size: image.Size, used: entry.Used})
		}
		entry.Unused = max(now.Sub(entry.Used), 0)
		settled[ref] = entry
	}
	if err := g.record.settle(seen, settled); err != nil {
		return nil, err
	}
	g.record.looksAgain(now)
	return out, nil
}

// earlier of two times.
func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// foreign says whether an image has a name that docker-sd did not give it. An engine names
// an image by its digest too, in the repository that it came from.
func foreign(image engine.Image, entry pulled, ours map[string]bool) bool {
	for _, tag := range image.Tags {
		if named, err := reference.ParseDockerRef(tag); err != nil || !ours[named.String()] {
			return true
		}
	}
	for _, digest := range image.Digests {
		if named, err := reference.ParseDockerRef(digest); err != nil || named.Name() != entry.Repository {
			return true
		}
	}
	return false
}

// inUse are the references and ids that containers, other images, pods and the
// pool need.
func (g *collector) inUse(ctx context.Context, c Collection) (map[string]bool, error) {
	out := map[string]bool{}
	for _, ref := range c.InUse() {
		named, err := reference.ParseDockerRef(ref)
		if err != nil || out[named.String()] {
			continue
		}
		out[named.String()] = true
		// It may have come under another name.
		image, err := g.host.Image(ctx, named.String())
		if err != nil && !errdefs.IsNotFound(err) {
			return nil, err
		}
		out[image.ID] = true
	}
	containers, err := g.host.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, one := range containers {
		out[one.ImageID] = true
	}
	images, err := g.host.Images(ctx)
	if err != nil {
		return nil, err
	}
	for _, image := range images {
		out[image.Parent] = true
	}
	maps.Copy(out, g.pins.all())
	return out, nil
}

// remove removes an image unless a pod has asked for it since began. The
// engine itself refuses where a container uses it.
func (g *collector) remove(ctx context.Context, image idle, began time.Time) error {
	over, err := g.record.removal(image.ref, began)
	if err != nil {
		return err
	}
	defer over()
	now, err := g.host.Image(ctx, image.ref)
	if err != nil || now.ID != image.id {
		return err
	}
	if err := g.host.RemoveImage(ctx, image.ref); err != nil {
		return err
	}
	return g.record.edit(func(images map[string]pulled) { delete(images, image.ref) })
}
