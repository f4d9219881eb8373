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

	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
)

// pulled is the entry of an image that came to the host only through docker-sd. No other
// image may ever be collected.
type pulled struct {
	// ID is empty until the pull is known to be complete.
	ID string `json:"id,omitempty"`
	// Before are the ids of the images that the host had when the pull began, until
	// it is complete: one of them is not ours, whatever its name.
	Before []string `json:"before,omitempty"`
	// Repository that it came from.
	Repository string `json:"repository"`
	// Used is the time of its last use. In a file it gives the order of uses and no more,
	// since the clock may have been set after it was written.
	Used time.Time `json:"used"`
	// Unused is its age in the last round of the collection, measured by a clock
	// that cannot be set.
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

// snapshot is a copy of the images by reference.
func (r *record) snapshot() map[string]pulled {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.images)
}

// has says whether a reference is on record.
func (r *record) has(ref string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, known := r.images[ref]
	return known
}

// begin notes a pull of a reference that had an id on the host, "" for none, while the
// host had the images before. The function that it returns notes the end, with the id that
// the reference has then, "" if nothing came.
func (r *record) begin(named reference.Named, had string, before []string) (ended func(id string) error, err error) {
	ref := named.String()
	old := r.snapshot()[ref]
	if had == "" {
		entry := pulled{Repository: named.Name(), Used: time.Now(), Before: before}
		if err := r.edit(func(images map[string]pulled) { images[ref] = entry }); err != nil {
			return nil, err
		}
	}
	return func(id string) error {
		return r.edit(func(images map[string]pulled) {
			switch {
			case id == "" && had == "":
				delete(images, ref)
			case id == "" || id == had:
			default:
				if had != "" {
					images[old.ID] = old // it lost its name to the new one
				}
				delete(images, ref)
				if !slices.Contains(before, id) {
					images[ref] = pulled{ID: id, Repository: named.Name(), Used: time.Now()}
				}
			}
		})
	}, nil
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

// skipped is how much of the time since the last round makes no image older: what
// is more than a period and by how much a round may be late. While rounds fail, the
// engine is away and no pod can use an image.
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

// settle writes the result of a round, and leaves alone the entries that changed meanwhile.
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

// use notes that an image is needed now. It waits while the image is being
// removed, so that no pod is given one that goes away.
func (r *record) use(ctx context.Context, ref string) error {
	for {
		r.mu.Lock()
		gone, removing := r.removing[ref]
		if _, recorded := r.images[ref]; recorded && !removing {
			r.used[ref] = time.Now()
		}
		r.mu.Unlock()
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

// lastUse is the later of a recorded use and the last call of use.
func (r *record) lastUse(ref string, recorded time.Time) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	if used := r.used[ref]; used.After(recorded) {
		return used
	}
	return recorded
}

// removal begins to remove an image, unless it was asked for since began. Until the
// function that it returns is called, use waits.
func (r *record) removal(ref string, began time.Time) (over func(), err error) {
	gone := make(chan struct{})
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.used[ref].After(began) {
		return nil, fmt.Errorf("image %s was asked for meanwhile: %w", ref, errdefs.ErrConflict)
	}
	r.removing[ref] = gone
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		delete(r.removing, ref)
		close(gone)
	}, nil
}
