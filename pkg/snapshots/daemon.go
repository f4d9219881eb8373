package snapshots

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/containerd/containerd/api/services/content/v1"
	imagesapi "github.com/containerd/containerd/api/services/images/v1"
	"github.com/containerd/containerd/api/services/introspection/v1"
	"github.com/containerd/containerd/api/services/leases/v1"
	"github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/containerd/containerd/api/types"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/google/uuid"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
)

// overlayfs is the snapshotter whose layers are folders as overlay2 has them.
const overlayfs = "overlayfs"

// callLimit bounds one call. containerd answers in milliseconds, or waits for the disk.
const callLimit = 20 * time.Second

// awayPart of that is the limit while containerd is away for longer than a start takes. It is
// more than the longest pause between two attempts to connect.
const awayPart = 10

// daemon is the engine's containerd.
type daemon struct {
	conn        *grpc.ClientConn
	namespace   string
	snapshotter string
	// root is the folder of the snapshotter.
	root string
	// limit of one call; away says that one has run out without a connection, and none has been
	// there since.
	limit time.Duration
	away  atomic.Bool

	content   content.ContentClient
	images    imagesapi.ImagesClient
	leases    leases.LeasesClient
	snapshots snapshots.SnapshotsClient
}

// connect to a containerd that has layers which can be shared.
func connect(ctx context.Context, config Config) (*daemon, error) {
	switch {
	case config.Snapshotter != overlayfs:
		return nil, fmt.Errorf("layers of the snapshotter %q cannot be shared, only those of %s", config.Snapshotter, overlayfs)
	case config.Containerd.Address == "" || config.Containerd.Namespace == "":
		return nil, errors.New("the engine does not say where its containerd is, as engines since 27 do")
	}
	address := strings.TrimPrefix(config.Containerd.Address, "unix://")
	if err := reachable(address); err != nil {
		return nil, err
	}
	// A containerd that is started again is away for a moment, with its engine.
	again := grpc.ConnectParams{MinConnectTimeout: callLimit, // else no more than the delay
		Backoff: backoff.Config{BaseDelay: 100 * time.Millisecond, Multiplier: 1.6, Jitter: 0.2, MaxDelay: time.Second}}
	conn, err := grpc.NewClient("unix:"+address, grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithConnectParams(again), grpc.WithDefaultCallOptions(grpc.WaitForReady(true)))
	if err != nil {
		return nil, fmt.Errorf("connect to containerd at %s: %w", address, err)
	}
	d := &daemon{conn: conn, namespace: config.Containerd.Namespace, snapshotter: config.Snapshotter, limit: callLimit,
		content: content.NewContentClient(conn), images: imagesapi.NewImagesClient(conn),
		leases: leases.NewLeasesClient(conn), snapshots: snapshots.NewSnapshotsClient(conn)}
	if d.root, err = d.findRoot(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("ask containerd at %s for its snapshotter: %w", address, err), conn.Close())
	}
	return d, nil
}

// reachable says in words for an administrator why a socket cannot be used, since a
// connection that is refused is tried again and again.
func reachable(address string) error {
	info, err := os.Stat(address)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("the socket of the engine's containerd, %s, is not here", address)
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("docker-sd may not use the socket of the engine's containerd, %s, which is root's", address)
	case err != nil:
		return fmt.Errorf("look for the socket of the engine's containerd: %w", err)
	case info.Mode().Type() != fs.ModeSocket:
		return fmt.Errorf("%s, which the engine names as its containerd, is no socket", address)
	}
	if err := unixAccess(address); err != nil {
		return fmt.Errorf("docker-sd may not use the socket of the engine's containerd, %s, which is root's", address)
	}
	return nil
}

func (d *daemon) close() error { return d.conn.Close() }

// layers is the folder that has those of all layers.
func (d *daemon) layers() string { return filepath.Join(d.root, "snapshots") }

// call bounds a call and names the namespace that it is for. Pods wait for calls: when one has
// waited in vain for a containerd that is away, those after it do not wait as long.
func (d *daemon) call(ctx context.Context) (context.Context, context.CancelFunc) {
	limit, began := d.limit, time.Now()
	if d.away.Load() {
		limit /= awayPart
	}
	ctx, cancel := context.WithTimeout(metadata.AppendToOutgoingContext(ctx, "containerd-namespace", d.namespace), limit)
	return ctx, func() {
		cancel()
		switch {
		case d.conn.GetState() == connectivity.Ready:
			d.away.Store(false)
		case time.Since(began) >= limit:
			d.away.Store(true)
		}
	}
}

// findRoot asks for the folder of the snapshotter.
func (d *daemon) findRoot(ctx context.Context) (string, error) {
	ctx, cancel := d.call(ctx)
	defer cancel()
	answer, err := introspection.NewIntrospectionClient(d.conn).Plugins(ctx,
		&introspection.PluginsRequest{Filters: []string{"type==io.containerd.snapshotter.v1,id==" + d.snapshotter}}, grpc.WaitForReady(false))
	if err != nil {
		return "", errgrpc.ToNative(err)
	}
	for _, plugin := range answer.Plugins {
		if root := plugin.Exports["root"]; filepath.IsAbs(root) {
			return root, nil
		}
	}
	return "", fmt.Errorf("it names no folder of the snapshotter %s", d.snapshotter)
}

// made is when the snapshot of a chain of layers was made.
func (d *daemon) made(ctx context.Context, chain string) (time.Time, error) {
	ctx, cancel := d.call(ctx)
	defer cancel()
	answer, err := d.snapshots.Stat(ctx, &snapshots.StatSnapshotRequest{Snapshotter: d.snapshotter, Key: chain})
	if err != nil {
		return time.Time{}, fmt.Errorf("look at snapshot %s: %w", chain, errgrpc.ToNative(err))
	}
	return answer.Info.CreatedAt.AsTime(), nil
}

// names are those of all images, by their ids.
func (d *daemon) names(ctx context.Context) (map[string][]string, error) {
	ctx, cancel := d.call(ctx)
	defer cancel()
	answer, err := d.images.List(ctx, &imagesapi.ListImagesRequest{})
	if err != nil {
		return nil, fmt.Errorf("list the images of containerd: %w", errgrpc.ToNative(err))
	}
	out := map[string][]string{}
	for _, image := range answer.Images {
		id := image.GetTarget().GetDigest()
		out[id] = append(out[id], image.Name)
	}
	return out, nil
}

// view returns the numbers of the folders of a chain of layers, the topmost first. It makes
// a read-only snapshot above the chain, which costs a folder, and removes it at once;
// containerd removes one that is left, since nothing refers to it.
func (d *daemon) view(ctx context.Context, chain string) (numbers []string, err error) {
	key := "docker-sd-" + uuid.NewString()
	asking, cancel := d.call(ctx)
	defer cancel()
	answer, err := d.snapshots.View(asking, &snapshots.ViewSnapshotRequest{Snapshotter: d.snapshotter, Key: key, Parent: chain})
	defer func() {
		removing, cancel := d.call(context.WithoutCancel(ctx))
		defer cancel()
		_, _ = d.snapshots.Remove(removing, &snapshots.RemoveSnapshotRequest{Snapshotter: d.snapshotter, Key: key})
	}()
	if err != nil {
		return nil, fmt.Errorf("view snapshot %s: %w", chain, errgrpc.ToNative(err))
	}
	return d.numbers(answer.Mounts)
}

// snapshotPath is the path of a layer below the snapshotter's root.
var snapshotPath = regexp.MustCompile(`^snapshots/([0-9]+)/fs$`)

// numbers reads the folders of layers from what containerd would have mounted. Anything
// else than plain folders cannot be shared: mapped ids, or images of file systems.
func (d *daemon) numbers(mounts []*types.Mount) ([]string, error) {
	if len(mounts) != 1 {
		return nil, fmt.Errorf("the layers need %d mounts, which cannot be shared", len(mounts))
	}
	m := mounts[0]
	var paths []string
	switch m.Type {
	case "bind":
		paths = []string{m.Source}
	case "overlay":
		for _, option := range m.Options {
			switch key, value, _ := strings.Cut(option, "="); key {
			case "lowerdir":
				paths = strings.Split(value, ":")
			case "userxattr", "uidmap", "gidmap":
				return nil, fmt.Errorf("layers that are mounted with %q cannot be shared", key)
			}
		}
	}
	var out []string
	for _, path := range paths {
		relative, err := filepath.Rel(d.root, path)
		match := snapshotPath.FindStringSubmatch(relative)
		if err != nil || match == nil {
			return nil, fmt.Errorf("the layer %s is no folder of the snapshotter", path)
		}
		out = append(out, match[1])
	}
	if len(out) == 0 {
		return nil, fmt.Errorf("layers that are mounted as %q cannot be shared", m.Type)
	}
	return out, nil
}
