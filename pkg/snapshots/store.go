// Package snapshots shares the images of an engine with containerd's image store. It asks
// containerd in which folders the layers of an image are, describes them to sandboxes in
// the layout that an engine with overlay2 has, and has containerd keep the layers that pods
// use. No layer is copied.
package snapshots

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
)

// Config of a Store.
type Config struct {
	// Instance names this docker-sd; it labels what is made in containerd.
	Instance string
	// Snapshotter has the layers of the engine's images. Only overlayfs can be used.
	Snapshotter string
	// Containerd is the engine's.
	Containerd engine.Containerd
	// Dir is where the description for sandboxes is kept. It may lose anything at any
	// time: what is missing is made again.
	Dir string
	// LayersPath is where sandboxes have the folders of the snapshotter.
	LayersPath string
	// Name is the name in sandboxes of an image of the host.
	Name func(hostID string) string
}

// Store describes the images of the host to sandboxes. It implements images.Snapshots.
type Store struct {
	config Config
	daemon *daemon
	tree   tree
	// turn is held while the description is changed.
	turn chan struct{}

	mu sync.Mutex
	// images that are described, by their ids on the host.
	images map[string]image
	holds  holds
}

// image as it is described.
type image struct {
	// Config is its id in sandboxes: the digest of its configuration.
	Config string `json:"config"`
	// Chain names the snapshot of its topmost layer, which was made at Made.
	Chain string    `json:"chain"`
	Made  time.Time `json:"made"`
	// Layers from the lowest to the topmost.
	Layers []layer `json:"layers"`
	// Names that it had on the host when it was described. A later one loses none of its
	// own to an earlier one.
	Names []string `json:"names"`
	Order int      `json:"order"`
}

// layer of an image.
type layer struct {
	// Chain names it with all that is below it, Diff by itself.
	Chain string `json:"chain"`
	Diff  string `json:"diff"`
	// Snapshot is the number of its folder.
	Snapshot string `json:"snapshot"`
}

// contradicts says that an image was described when its layers were in other folders than now,
// as now has some of the same layers or folders. The layers of an image that leaves the host are
// removed, and come again in other folders with another image that has them.
func (i image) contradicts(now image) bool {
	return slices.ContainsFunc(i.Layers, func(l layer) bool {
		return slices.ContainsFunc(now.Layers, func(n layer) bool { return (l.Chain == n.Chain) != (l.Snapshot == n.Snapshot) })
	})
}

// Open connects to the engine's containerd. The error says in words for an administrator
// why its layers cannot be shared.
func Open(ctx context.Context, config Config) (*Store, error) {
	d, err := connect(ctx, config)
	if err != nil {
		return nil, err
	}
	s := &Store{config: config, daemon: d, turn: make(chan struct{}, 1),
		tree: tree{dir: config.Dir, layersPath: config.LayersPath, name: config.Name}}
	if s.images, err = s.tree.open(); err != nil {
		d.close()
		return nil, fmt.Errorf("describe the host's images in %s: %w", config.Dir, err)
	}
	return s, nil
}

// Layers is the folder on the host that has the folders of all layers.
func (s *Store) Layers() string { return s.daemon.layers() }

// Close ends the connection to containerd. What it keeps it goes on keeping.
func (s *Store) Close() error { return s.daemon.close() }

// Has says whether the image is described as it is on the host now.
func (s *Store) Has(ctx context.Context, hostID string) (bool, error) {
	known, ok := s.get(hostID)
	if !ok {
		return false, nil
	}
	made, err := s.daemon.made(ctx, known.Chain)
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	return err == nil && made.Equal(known.Made), err
}

// loadLimit bounds a Load, which makes many calls for an image with many platforms. Others wait
// for it.
const loadLimit = time.Minute

// Load describes the image unless it is described. It never calls copyTo.
func (s *Store) Load(ctx context.Context, hostID string, _ func(context.Context, *engine.Client) (string, error)) error {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	ctx, cancel := context.WithTimeout(ctx, loadLimit)
	defer cancel()
	if there, err := s.Has(ctx, hostID); there || err != nil {
		return err
	}
	found, config, err := s.daemon.describe(ctx, hostID)
	if err != nil {
		return err
	}
	names, err := s.daemon.names(ctx)
	if err != nil {
		return err
	}
	next := s.all()
	for id, known := range next {
		if known.contradicts(found) {
			delete(next, id)
			continue
		}
		known.Names = names[id]
		found.Order = max(found.Order, known.Order+1)
		next[id] = known
	}
	found.Names = names[hostID]
	next[hostID] = found
	if err := s.tree.add(next, found, config); err != nil {
		return fmt.Errorf("describe image %s to sandboxes: %w", hostID, err)
	}
	fault.Point("snapshots.described")
	s.set(next)
	return nil
}

// List returns the images that are described: their ids in sandboxes by those on the host.
func (s *Store) List(context.Context) (map[string]string, error) {
	out := map[string]string{}
	for hostID, known := range s.all() {
		out[hostID] = known.Config
	}
	return out, nil
}

// Drop describes an image no more.
func (s *Store) Drop(ctx context.Context, hostID string) error {
	select {
	case s.turn <- struct{}{}:
		defer func() { <-s.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	next := s.all()
	delete(next, hostID)
	if err := s.tree.write(next); err != nil {
		return fmt.Errorf("describe image %s to sandboxes no more: %w", hostID, err)
	}
	s.set(next)
	return nil
}

// Stale says whether a sandbox shows layers of an image that are not those of the host's
// image now. folders are their names in the sandbox, the topmost first. Layers that were
// copied or imported are never stale.
func (s *Store) Stale(hostID string, folders []string) bool {
	if !slices.ContainsFunc(folders, isFolderName) {
		return false
	}
	known, _ := s.get(hostID)
	var want []string
	for _, l := range slices.Backward(known.Layers) {
		want = append(want, folderName(l.Snapshot))
	}
	return !slices.Equal(folders, want)
}

// Keep has containerd keep the layers of pinned images, which may be named by their ids on
// the host or in sandboxes, and no others of this instance. One call at a time.
func (s *Store) Keep(ctx context.Context, pinned map[string]bool) error {
	wanted := map[string]hold{}
	for hostID, known := range s.all() {
		if pinned[hostID] || pinned[known.Config] {
			h := hold{instance: s.config.Instance, hostID: hostID, config: known.Config, chain: known.Chain}
			wanted[h.id()] = h
		}
	}
	s.mu.Lock()
	complete := s.holds
	s.mu.Unlock()
	complete, err := s.daemon.keep(ctx, s.config.Instance, wanted, pinned, complete)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.holds = complete
	return err
}

func (s *Store) get(hostID string) (image, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	known, ok := s.images[hostID]
	return known, ok
}

func (s *Store) all() map[string]image {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.images)
}

func (s *Store) set(images map[string]image) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.images = images
}
