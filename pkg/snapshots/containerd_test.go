package snapshots_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/containerd/api/services/content/v1"
	imagesapi "github.com/containerd/containerd/api/services/images/v1"
	"github.com/containerd/containerd/api/services/introspection/v1"
	"github.com/containerd/containerd/api/services/leases/v1"
	snapshotsapi "github.com/containerd/containerd/api/services/snapshots/v1"
	"github.com/containerd/containerd/api/types"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/emptypb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/snapshots"
)

// containerd is one in memory, as far as a Store uses it.
type containerd struct {
	socket, root string

	mu     sync.Mutex
	blobs  map[string][]byte
	names  map[string]string
	chains map[string]*chain
	leases map[string]*lease
	// next is the number of the next snapshot, creations counts leases that were asked for.
	next, creations int
	views           map[string]bool
	// mounts changes what a view is mounted by.
	mounts func([]*types.Mount) []*types.Mount
	// stop ends its serving.
	stop func()
	// fails has calls of a method fail.
	fails map[string]error
}

type chain struct {
	number int
	parent string
	made   time.Time
}

type lease struct {
	labels    map[string]string
	resources []string
}

const namespace = "moby-test"

func startContainerd(t *testing.T) *containerd {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "sn") // the path of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	c := &containerd{socket: filepath.Join(dir, "c.sock"), root: "/var/lib/containerd/overlayfs", blobs: map[string][]byte{}, names: map[string]string{},
		chains: map[string]*chain{}, leases: map[string]*lease{}, views: map[string]bool{}, next: 7, fails: map[string]error{}}
	stop := c.serve(t)
	t.Cleanup(func() { stop(); _ = os.RemoveAll(dir) })
	return c
}

// serve until stop is called.
func (c *containerd) serve(t *testing.T) (stop func()) {
	t.Helper()
	listener, err := net.Listen("unix", c.socket)
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(grpc.UnaryInterceptor(c.check))
	introspection.RegisterIntrospectionServer(server, introspectionServer{c: c})
	content.RegisterContentServer(server, contentServer{c: c})
	imagesapi.RegisterImagesServer(server, imagesServer{c: c})
	leases.RegisterLeasesServer(server, leasesServer{c: c})
	snapshotsapi.RegisterSnapshotsServer(server, snapshotsServer{c: c})
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) }) // ends with Stop
	c.stop = sync.OnceFunc(func() { server.Stop(); serving.Wait() })
	return c.stop
}

// check refuses calls for another namespace, and those that are to fail.
func (c *containerd) check(ctx context.Context, request any, info *grpc.UnaryServerInfo, handle grpc.UnaryHandler) (any, error) {
	sent, _ := metadata.FromIncomingContext(ctx)
	if got := sent.Get("containerd-namespace"); !slices.Equal(got, []string{namespace}) {
		return nil, status.Errorf(codes.InvalidArgument, "the namespace is %q", got)
	}
	c.mu.Lock()
	err := c.fails[filepath.Base(info.FullMethod)]
	c.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return handle(ctx, request)
}

// put stores a document.
func (c *containerd) put(value any) string {
	data, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	id := digest.FromBytes(data).String()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.blobs[id] = data
	return id
}

// image stores an image with layers of these contents, unpacked, and returns the ids of its
// manifest and of its configuration.
func (c *containerd) image(name string, layers ...string) (id, config string) {
	var diffs []digest.Digest
	for _, l := range layers {
		diffs = append(diffs, digest.FromString(l))
	}
	config = c.put(map[string]any{"os": "linux", "rootfs": map[string]any{"type": "layers", "diff_ids": diffs}})
	id = c.put(map[string]any{"mediaType": "application/vnd.oci.image.manifest.v1+json", "config": map[string]string{"digest": config}})
	c.unpack(diffs)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.names[name] = id
	return id, config
}

func (c *containerd) unpack(diffs []digest.Digest) {
	c.mu.Lock()
	defer c.mu.Unlock()
	parent := ""
	for _, id := range identity.ChainIDs(slices.Clone(diffs)) {
		if c.chains[id.String()] == nil {
			c.chains[id.String()] = &chain{number: c.next, parent: parent, made: time.Unix(int64(c.next), 5)}
			c.next++
		}
		parent = id.String()
	}
}

// drop removes an image with its layers, and what is left of others.
func (c *containerd) drop(name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.names, name)
	clear(c.chains)
}

func (c *containerd) held() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	for id, l := range c.leases {
		out = append(out, id+" "+strings.Join(l.resources, ","))
	}
	slices.Sort(out)
	return out
}

type introspectionServer struct {
	introspection.UnimplementedIntrospectionServer
	c *containerd
}

func (s introspectionServer) Plugins(context.Context, *introspection.PluginsRequest) (*introspection.PluginsResponse, error) {
	return &introspection.PluginsResponse{Plugins: []*introspection.Plugin{{Exports: map[string]string{"root": s.c.root}}}}, nil
}

type contentServer struct {
	content.UnimplementedContentServer
	c *containerd
}

func (s contentServer) Read(request *content.ReadContentRequest, stream content.Content_ReadServer) error {
	s.c.mu.Lock()
	data, there := s.c.blobs[request.Digest]
	s.c.mu.Unlock()
	if !there {
		return status.Error(codes.NotFound, "no such content")
	}
	for part := range slices.Chunk(data, 50) {
		if err := stream.Send(&content.ReadContentResponse{Data: part}); err != nil {
			return err
		}
	}
	return nil
}

type imagesServer struct {
	imagesapi.UnimplementedImagesServer
	c *containerd
}

func (s imagesServer) List(context.Context, *imagesapi.ListImagesRequest) (*imagesapi.ListImagesResponse, error) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	out := &imagesapi.ListImagesResponse{}
	for name, id := range s.c.names {
		out.Images = append(out.Images, &imagesapi.Image{Name: name, Target: &types.Descriptor{Digest: id}})
	}
	return out, nil
}

type leasesServer struct {
	leases.UnimplementedLeasesServer
	c *containerd
}

func (s leasesServer) Create(_ context.Context, request *leases.CreateRequest) (*leases.CreateResponse, error) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	s.c.creations++
	if s.c.leases[request.ID] != nil {
		return nil, status.Error(codes.AlreadyExists, "lease is there")
	}
	s.c.leases[request.ID] = &lease{labels: request.Labels}
	return &leases.CreateResponse{Lease: &leases.Lease{ID: request.ID}}, nil
}

func (s leasesServer) AddResource(_ context.Context, request *leases.AddResourceRequest) (*emptypb.Empty, error) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	l := s.c.leases[request.ID]
	if l == nil {
		return nil, status.Error(codes.NotFound, "no lease")
	}
	if !slices.Contains(l.resources, request.Resource.ID) {
		l.resources = append(l.resources, request.Resource.ID)
	}
	return &emptypb.Empty{}, nil
}

func (s leasesServer) Delete(_ context.Context, request *leases.DeleteRequest) (*emptypb.Empty, error) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	if s.c.leases[request.ID] == nil {
		return nil, status.Error(codes.NotFound, "no lease")
	}
	delete(s.c.leases, request.ID)
	return &emptypb.Empty{}, nil
}

// List knows one filter: labels."a"=="b",labels."c".
func (s leasesServer) List(_ context.Context, request *leases.ListRequest) (*leases.ListResponse, error) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	out := &leases.ListResponse{}
	for id, l := range s.c.leases {
		want := fmt.Sprintf(`labels."docker-sd.instance"==%q,labels."docker-sd.hold"`, l.labels["docker-sd.instance"])
		if l.labels["docker-sd.hold"] != "" && slices.Equal(request.Filters, []string{want}) {
			out.Leases = append(out.Leases, &leases.Lease{ID: id, Labels: maps.Clone(l.labels)})
		}
	}
	return out, nil
}

type snapshotsServer struct {
	snapshotsapi.UnimplementedSnapshotsServer
	c *containerd
}

func (s snapshotsServer) Stat(_ context.Context, request *snapshotsapi.StatSnapshotRequest) (*snapshotsapi.StatSnapshotResponse, error) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	found := s.c.chains[request.Key]
	if found == nil {
		return nil, status.Error(codes.NotFound, "no snapshot")
	}
	return &snapshotsapi.StatSnapshotResponse{Info: &snapshotsapi.Info{Name: request.Key, CreatedAt: timestamppb.New(found.made)}}, nil
}

func (s snapshotsServer) View(_ context.Context, request *snapshotsapi.ViewSnapshotRequest) (*snapshotsapi.ViewSnapshotResponse, error) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	var paths []string
	for key := request.Parent; key != ""; key = s.c.chains[key].parent {
		if s.c.chains[key] == nil {
			return nil, status.Error(codes.NotFound, "no snapshot")
		}
		paths = append(paths, fmt.Sprintf("%s/snapshots/%d/fs", s.c.root, s.c.chains[key].number))
	}
	s.c.views[request.Key] = true
	mounts := []*types.Mount{{Type: "bind", Source: paths[0], Options: []string{"ro", "rbind"}}}
	if len(paths) > 1 {
		mounts = []*types.Mount{{Type: "overlay", Source: "overlay", Options: []string{"index=off", "lowerdir=" + strings.Join(paths, ":")}}}
	}
	if s.c.mounts != nil {
		mounts = s.c.mounts(mounts)
	}
	return &snapshotsapi.ViewSnapshotResponse{Mounts: mounts}, nil
}

func (s snapshotsServer) Remove(_ context.Context, request *snapshotsapi.RemoveSnapshotRequest) (*emptypb.Empty, error) {
	s.c.mu.Lock()
	defer s.c.mu.Unlock()
	delete(s.c.views, request.Key)
	return &emptypb.Empty{}, nil
}

// config of a Store on it.
func (c *containerd) config(dir string) snapshots.Config {
	return snapshots.Config{Instance: "sd", Snapshotter: "overlayfs", Containerd: engine.Containerd{Address: c.socket, Namespace: namespace}, Dir: dir,
		LayersPath: "/layers", Name: func(id string) string { return "stored.invalid/host:" + strings.TrimPrefix(id, "sha256:") }}
}

func (c *containerd) open(t *testing.T, dir string) *snapshots.Store {
	t.Helper()
	s, err := snapshots.Open(t.Context(), c.config(dir))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}
