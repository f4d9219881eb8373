package images

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"golang.org/x/sys/unix"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
)

// Collection says which of the images that only docker-sd pulled are removed.
// The fields mean what kubelet's settings of the same names mean.
type Collection struct {
	// DryRun only logs what would be removed.
	DryRun bool
	// MaximumAge is how long an image stays unused; 0 means for ever.
	MaximumAge time.Duration
	// MinimumAge is how long an image stays unused when the disk is full.
	MinimumAge time.Duration
	// HighThresholdPercent of disk use starts the removal, oldest use first, until
	// LowThresholdPercent is reached; 100 means never.
	HighThresholdPercent, LowThresholdPercent int
	// Disk measures the disk of the engine's images; nil goes by age alone.
	Disk func() (Disk, error)
	// InUse are references that pods and the pool need.
	InUse func() []string
}

// Disk is the size of a file system and what is free for users, in bytes.
type Disk struct{ Total, Free int64 }

// DiskOf measures the disk of an engine's data root, where that can be seen from
// here and is really an engine's.
func DiskOf(root string) (func() (Disk, error), error) {
	if _, err := os.Stat(filepath.Join(root, "image")); err != nil {
		return nil, fmt.Errorf("the engine's data root cannot be seen from here: %w", err)
	}
	return func() (Disk, error) {
		var s unix.Statfs_t
		if err := unix.Statfs(root, &s); err != nil {
			return Disk{}, fmt.Errorf("measure the disk of %s: %w", root, err)
		}
		return Disk{Total: int64(s.Blocks) * s.Bsize, Free: int64(s.Bavail) * s.Bsize}, nil
	}, nil
}

// collectPeriod is kubelet's.
const collectPeriod = 5 * time.Minute

func (c Collection) period() time.Duration {
	if c.MaximumAge > 0 {
		return max(min(collectPeriod, c.MaximumAge/2), time.Second)
	}
	return collectPeriod
}

// Collect removes images until ctx ends.
func (p *Provider) Collect(ctx context.Context, c Collection) {
	tick := time.NewTicker(c.period())
	defer tick.Stop()
	told := map[string]bool{}
	var asked chan error
	for {
		err := p.collect(ctx, c, told, asked != nil)
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
		case asked = <-p.reclaims:
		}
	}
}

// Reclaim has a Collect that runs remove every image that nobody uses, but for those
// used within the minimum age, however full the disk is.
func (p *Provider) Reclaim(ctx context.Context) error {
	done := make(chan error, 1)
	select {
	case p.reclaims <- done:
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
func (p *Provider) collect(ctx context.Context, c Collection, told map[string]bool, all bool) error {
	began := time.Now()
	unused, err := p.unused(ctx, c, began)
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
			if err := p.remove(ctx, image, began); err != nil {
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

// idle is an image that nobody uses.
type idle struct {
	ref, id string
	size    int64
	used    time.Time
}

// choose picks what goes: what is too old, then the longest unused until excess
// bytes are free.
func (c Collection) choose(images []idle, now time.Time, excess int64) []idle {
	slices.SortFunc(images, func(a, b idle) int { return cmp.Or(a.used.Compare(b.used), cmp.Compare(a.ref, b.ref)) })
	var out []idle
	for _, image := range images {
		age := now.Sub(image.used)
		old := c.MaximumAge > 0 && age >= c.MaximumAge
		if old || excess > 0 && age >= c.MinimumAge {
			out = append(out, image)
			excess -= image.size
		}
	}
	return out
}

// excess is how many bytes have to go to come down to the low threshold, 0 below
// the high one.
func (c Collection) excess() (int64, error) {
	if c.Disk == nil || c.HighThresholdPercent >= 100 {
		return 0, nil
	}
	disk, err := c.Disk()
	if err != nil || disk.Total <= 0 {
		return 0, err
	}
	if used := disk.Total - disk.Free; used*100 < int64(c.HighThresholdPercent)*disk.Total {
		return 0, nil
	}
	return max(disk.Total/100*int64(100-c.LowThresholdPercent)-disk.Free, 0), nil
}

// unused looks at every recorded image: those that are not ours any more are
// forgotten, those in use get a new time of use, the others are returned.
func (p *Provider) unused(ctx context.Context, c Collection, now time.Time) ([]idle, error) {
	inUse, err := p.inUse(ctx, c)
	if err != nil {
		return nil, err
	}
	seen, skipped := p.record.snapshot(), p.record.skipped(now, c.period())
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
		if p.pulling(ref) {
			settled[ref] = entry
			continue
		}
		image, err := p.host.Image(ctx, ref)
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
		entry.Used = p.record.lastUse(ref, entry.Used)
		if inUse[ref] || inUse[entry.ID] {
			entry.Used = now
		} else {
			entry.Used = earlier(entry.Used.Add(skipped), now)
			out = append(out, idle{ref: ref, id: entry.ID, size: image.Size, used: entry.Used})
		}
		entry.Unused = max(now.Sub(entry.Used), 0)
		settled[ref] = entry
	}
	if err := p.record.settle(seen, settled); err != nil {
		return nil, err
	}
	p.record.looksAgain(now)
	return out, nil
}

// skipped is how much of the time since the last round makes no image older: what
// is more than a period and by how much a round may be late. While rounds fail, the
// engine is away and nobody can use an image.
func (r *record) skipped(now time.Time, period time.Duration) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	return max(now.Sub(r.looked)-period-period/2, 0)
}

// looksAgain notes a round of which the record has the ages.
func (r *record) looksAgain(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.looked = now
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// settle writes what a round has found, and leaves alone what changed meanwhile.
func (r *record) settle(seen, settled map[string]pulled) error {
	if len(seen) == 0 {
		return nil
	}
	return r.edit(func(images map[string]pulled) {
		for ref, before := range seen {
			if now, known := images[ref]; !known || now.ID != before.ID {
				continue
			}
			if entry, keep := settled[ref]; keep {
				images[ref] = entry
			} else {
				delete(images, ref)
			}
		}
	})
}

// foreign says whether somebody else has named an image. An engine names an
// image by its digest too, in the repository that it came from.
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
func (p *Provider) inUse(ctx context.Context, c Collection) (map[string]bool, error) {
	out := map[string]bool{}
	for _, ref := range c.InUse() {
		named, err := reference.ParseDockerRef(ref)
		if err != nil || out[named.String()] {
			continue
		}
		out[named.String()] = true
		// It may have come under another name.
		image, err := p.host.Image(ctx, named.String())
		if err != nil && !errdefs.IsNotFound(err) {
			return nil, err
		}
		out[image.ID] = true
	}
	containers, err := p.host.List(ctx)
	if err != nil {
		return nil, err
	}
	for _, one := range containers {
		out[one.ImageID] = true
	}
	images, err := p.host.Images(ctx)
	if err != nil {
		return nil, err
	}
	for _, image := range images {
		out[image.Parent] = true
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, held := range p.holds {
		maps.Copy(out, held)
	}
	return out, nil
}

// pulling says whether a pull of an image is under way.
func (p *Provider) pulling(ref string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for t := range p.flights {
		if t.ref == ref {
			return true
		}
	}
	return false
}

// use notes that an image is needed now. It waits while the image is being
// removed, so that nobody is given one that goes away.
func (p *Provider) use(ctx context.Context, ref string) error {
	for {
		p.record.mu.Lock()
		gone, removing := p.record.removing[ref]
		if _, recorded := p.record.images[ref]; recorded && !removing {
			p.record.used[ref] = time.Now()
		}
		p.record.mu.Unlock()
		if !removing {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-gone:
		}
	}
}

// lastUse is the later of a recorded use and what was asked for since.
func (r *record) lastUse(ref string, recorded time.Time) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	if used := r.used[ref]; used.After(recorded) {
		return used
	}
	return recorded
}

// remove removes an image unless somebody has asked for it since began. The
// engine itself refuses where a container uses it.
func (p *Provider) remove(ctx context.Context, image idle, began time.Time) error {
	gone := make(chan struct{})
	p.record.mu.Lock()
	asked := p.record.used[image.ref].After(began)
	if !asked {
		p.record.removing[image.ref] = gone
	}
	p.record.mu.Unlock()
	if asked {
		return fmt.Errorf("image %s was asked for meanwhile: %w", image.ref, errdefs.ErrConflict)
	}
	defer func() {
		p.record.mu.Lock()
		defer p.record.mu.Unlock()
		delete(p.record.removing, image.ref)
		close(gone)
	}()
	now, err := p.host.Image(ctx, image.ref)
	if err != nil || now.ID != image.id {
		return err
	}
	if err := p.host.RemoveImage(ctx, image.ref); err != nil {
		return err
	}
	return p.record.edit(func(images map[string]pulled) { delete(images, image.ref) })
}
