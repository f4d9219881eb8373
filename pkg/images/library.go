package images

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/retry"
)

// Library holds images of a host whose own layers cannot be shared, in a layout
// that can be. Images are named by their id on the host.
type Library interface {
	// Has says whether the image is there.
	Has(ctx context.Context, hostID string) (bool, error)
	// Load has copyTo copy the image there unless it is there.
	Load(ctx context.Context, hostID string, copyTo func(context.Context, *engine.Client) (string, error)) error
	// List returns the images' ids in the library by their ids on the host.
	List(ctx context.Context) (map[string]string, error)
	// Drop removes the image from there.
	Drop(ctx context.Context, hostID string) error
}

// Snapshots is a Library that shows the host's own layers, so that a Load copies nothing, and
// takes milliseconds: all of the host's images are brought there, before a pod asks.
type Snapshots interface {
	Library
	// Stale says whether a sandbox shows other layers of an image than the host has now.
	// folders are their names, the topmost first.
	Stale(hostID string, folders []string) bool
	// Keep has the host keep the layers of pinned images, by their ids on the host or in
	// sandboxes, and no others of this instance.
	Keep(ctx context.Context, pinned map[string]bool) error
}

// importingHost is what imports need of the host's engine.
type importingHost interface {
	Image(ctx context.Context, ref string) (engine.Image, error)
	Images(ctx context.Context) ([]engine.Image, error)
	CopyImage(ctx context.Context, to *engine.Client, ref string) (string, error)
}

// imports are the images of the host in a library.
type imports struct {
	library Library
	// snapshots is the library if it is one, else nil.
	snapshots Snapshots
	host      importingHost
	onHost    *hostImages
	flights   *flights
	pins      *pins
	// sandboxImage is brought to the library too, because pods use it.
	sandboxImage string
	// changed is called when an image has come to the library or gone.
	changed func()
	// came says that images have come to snapshots since changed was called. A pod that waits
	// for one gets a fresh sandbox; the others need not be replaced while it starts.
	came atomic.Bool

	// tendAfter is when the library is compared with the host next, and tending remembers how
	// that went. Provider.Run alone uses them.
	tendAfter time.Time
	tending   *retry.Loop

	mu sync.Mutex
	// dropped is when images left the library, by their ids on the host.
	dropped map[string]time.Time
}

// shelve brings an image of the host to the library, once for all pods that ask for it.
func (i *imports) shelve(ctx context.Context, hostID, ref string) error {
	if has, err := i.library.Has(ctx, hostID); err == nil && has {
		return nil
	}
	_, err := i.flights.share(ctx, task{what: "import", ref: hostID}, nil, func(ctx context.Context, _ *flight) (string, error) {
		var began time.Time
		err := i.library.Load(ctx, hostID, func(ctx context.Context, to *engine.Client) (string, error) {
			began = time.Now()
			log.G(ctx).WithField("image", ref).Info("importing image, once for all sandboxes")
			return i.host.CopyImage(ctx, to, hostID)
		})
		switch {
		case err != nil:
			return "", err
		case !began.IsZero():
			log.G(ctx).WithField("image", ref).WithField("after", time.Since(began).Round(time.Millisecond)).Info("image imported")
			i.changed()
		case i.snapshots != nil:
			i.came.Store(true)
		} // else it may have been there, in an engine that had to be started
		return "", nil
	})
	if err != nil {
		return fmt.Errorf("import image %s: %w", ref, err)
	}
	return nil
}

// tendPeriod is how often the library is compared with the host, and tendAgain the pause after a
// comparison that failed.
const (
	tendPeriod = 10 * time.Minute
	tendAgain  = time.Minute
)

// tend keeps the sandboxes' own image in the library, or all images where a load takes no
// time, and removes the images that the host has dropped and no pod holds. It goes on after a
// failure and returns all of them.
func (i *imports) tend(ctx context.Context) error {
	own, err := i.onHost.get(ctx, Want{Ref: i.sandboxImage, Policy: v1.PullIfNotPresent, own: true})
	if err == nil {
		err = i.shelve(ctx, own.ID, i.sandboxImage)
	}
	problems := []error{err, i.showAll(ctx)}
	there, err := i.library.List(ctx)
	problems = append(problems, err)
	gone := 0
	for _, hostID := range slices.Sorted(maps.Keys(there)) {
		_, err := i.host.Image(ctx, hostID)
		if err != nil && !errdefs.IsNotFound(err) {
			problems = append(problems, err)
		}
		if !errdefs.IsNotFound(err) || !i.release(hostID, there[hostID]) {
			continue
		}
		log.G(ctx).WithField("image", hostID).Info("removing an imported image that the host has dropped")
		problems = append(problems, i.library.Drop(ctx, hostID))
		gone++
	}
	if gone > 0 {
		i.changed()
	}
	return errors.Join(problems...)
}

// showAll brings all images of the host to a library that costs nothing. It ends at once if the
// library does not answer.
func (i *imports) showAll(ctx context.Context) error {
	if i.snapshots == nil {
		return nil
	}
	found, err := i.host.Images(ctx)
	if err != nil {
		return err
	}
	defer func() {
		if i.came.Swap(false) {
			i.changed()
		}
	}()
	for _, image := range found {
		if ctx.Err() != nil {
			break
		}
		err := i.shelve(ctx, image.ID, image.ID)
		if errdefs.IsUnavailable(err) || errors.Is(err, context.DeadlineExceeded) {
			return err // the others would wait as long, and a start of docker-sd with them
		}
		// One that cannot be shared is copied into the sandboxes that need it.
		if err != nil {
			log.G(ctx).WithError(err).Debug("an image cannot be shared")
		}
	}
	return ctx.Err()
}

// keep has the host keep what pods have pinned, where the library's layers are the host's, and
// tends the library from time to time. There a failure to tend it is logged: the next pin must not
// wait until it is mended.
func (i *imports) keep(ctx context.Context) error {
	var err error
	if i.snapshots != nil {
		err = i.snapshots.Keep(ctx, i.pins.all())
	}
	if time.Now().Before(i.tendAfter) {
		return err
	}
	problem := i.tend(ctx)
	if problem != nil && i.snapshots == nil {
		return problem
	}
	i.tendAfter = time.Now().Add(tendPeriod)
	if problem != nil {
		i.tendAfter = time.Now().Add(tendAgain)
		i.tending.Note(ctx, "the host's images could not be looked through, trying again", problem)
	} else {
		i.tending.Succeeded(ctx, "the host's images were looked through again")
	}
	return err
}

// stale says whether a sandbox shows layers of an image that the host has no more.
func (i *imports) stale(hostID string, folders []string) bool {
	return i.snapshots != nil && i.snapshots.Stale(hostID, folders)
}

// release notes that an image leaves the library, unless a pod has pinned it under
// either of its ids.
func (i *imports) release(hostID, id string) bool {
	return i.pins.unlessPinned(func() {
		i.mu.Lock()
		defer i.mu.Unlock()
		i.dropped[hostID] = time.Now()
	}, hostID, id)
}

// outlived says that a sandbox was booted before the image left the library: its
// layers are not behind what the sandbox's engine lists.
func (i *imports) outlived(booted time.Time, hostID string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return booted.Before(i.dropped[hostID])
}
