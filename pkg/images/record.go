package images

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/distribution/reference"
)

// pulled is what is kept of an image that came to the host only through
// docker-sd: nothing else may ever be collected.
type pulled struct {
	// ID is empty until the pull is known to be complete.
	ID string `json:"id,omitempty"`
	// Before are the ids of the images that the host had when the pull began, until
	// it is complete: one of them is not ours, whatever its name.
	Before []string `json:"before,omitempty"`
	// Repository that it came from.
	Repository string `json:"repository"`
	// Used is when it was last used. What a file says of that is only good for the
	// order of uses: the clock may have been set since.
	Used time.Time `json:"used"`
	// Unused is its age in the last round of the collection, measured by a clock
	// that nobody sets.
	Unused time.Duration `json:"unused,omitempty"`
}

// record is the pulled images by reference, or by id for one that has lost its
// name to a newer one. It is a file, written before each pull.
type record struct {
	path   string
	saving sync.Mutex

	mu     sync.Mutex
	images map[string]pulled
	// looked is when a round of the collection last came to its end, or when the
	// record was read.
	looked time.Time
	// used is when an image was last asked for.
	used map[string]time.Time
	// removing are images that are being removed; the channel is closed at the end.
	removing map[string]chan struct{}
}

// openRecord reads the file; "" keeps the record in memory only.
func openRecord(path string) (*record, error) {
	r := &record{path: path, images: map[string]pulled{}, looked: time.Now(), used: map[string]time.Time{}, removing: map[string]chan struct{}{}}
	if path == "" {
		return r, nil
	}
	err := loadFile(path, &r.images)
	if errors.Is(err, fs.ErrNotExist) {
		return r, nil
	}
	if err == nil && r.images == nil {
		err = errHoldsNothing
	}
	if err != nil {
		r.images = map[string]pulled{}
		return r, fmt.Errorf("read the record of pulled images: those from before will not be collected: %w", err)
	}
	resume(r.images, r.looked)
	return r, nil
}

// resume has images of an earlier process go on with the age that they had there,
// by this process's clock. What passed between the two does not count, since only
// a clock that may have been set knows it. Images of one age differ by as little
// as keeps the order of their use.
func resume(images map[string]pulled, now time.Time) {
	latest := slices.SortedFunc(maps.Keys(images), func(a, b string) int {
		return cmp.Or(images[b].Used.Compare(images[a].Used), cmp.Compare(b, a))
	})
	for i, ref := range latest {
		entry := images[ref]
		entry.Used = now.Add(-max(entry.Unused, 0) - time.Duration(i))
		images[ref] = entry
	}
}

func (r *record) snapshot() map[string]pulled {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.images)
}

// edit changes the record if that can be saved.
func (r *record) edit(change func(map[string]pulled)) error {
	r.saving.Lock()
	defer r.saving.Unlock()
	images := r.snapshot()
	change(images)
	if err := saveFile(r.path, images); err != nil {
		return fmt.Errorf("write the record of pulled images: %w", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.images = images
	return nil
}

// recordPull notes a pull that begins; the function that it returns is called
// with the id of what came, "" for nothing. A pull that cannot be noted is never
// collected.
func (p *Provider) recordPull(ctx context.Context, named reference.Named, had string) func(id string) {
	ref := named.String()
	present, err := p.host.Images(ctx)
	entry := pulled{Repository: named.Name(), Used: time.Now()}
	for _, image := range present {
		entry.Before = append(entry.Before, image.ID)
	}
	old, ours := p.record.snapshot()[ref]
	if had != "" && !ours {
		return func(string) {} // there before us
	}
	if err == nil && had == "" {
		err = p.record.edit(func(images map[string]pulled) { images[ref] = entry })
	}
	if err != nil {
		log.G(ctx).WithField("image", ref).WithError(err).Warn("the image will not be collected, its pull could not be recorded")
		return func(string) {}
	}
	return func(id string) {
		err := p.record.edit(func(images map[string]pulled) {
			switch {
			case id == "" && had == "":
				delete(images, ref)
			case id == "" || id == had:
			default:
				if had != "" {
					images[old.ID] = old // it lost its name to the new one
				}
				delete(images, ref)
				if !slices.Contains(entry.Before, id) {
					images[ref] = pulled{ID: id, Repository: entry.Repository, Used: time.Now()}
				}
			}
		})
		if err != nil {
			log.G(ctx).WithField("image", ref).WithError(err).Warn("the end of a pull could not be recorded")
		}
	}
}
