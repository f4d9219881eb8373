package snapshots_test

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/containerd/containerd/api/types"
	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/images"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/snapshots"
)

var _ images.Snapshots = (*snapshots.Store)(nil)

func load(t *testing.T, s *snapshots.Store, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if err := s.Load(t.Context(), id, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// files are all below a folder, by path, links with an arrow.
func files(t *testing.T, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name := strings.TrimPrefix(path, dir+"/")
		if entry.Type() == fs.ModeSymlink {
			target, err := os.Readlink(path)
			out[name] = "-> " + target
			return err
		}
		data, err := os.ReadFile(path)
		out[name] = string(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func hexOf(id string) string { return strings.TrimPrefix(id, "sha256:") }

// TestDescription: what a sandbox is shown is what an engine with overlay2 would have, with
// links to the folders of containerd.
func TestDescription(t *testing.T) {
	c, dir := startContainerd(t), t.TempDir()
	s := c.open(t, dir)
	id, config := c.image("docker.io/library/app:1", "base", "top")
	load(t, s, id)
	diffs := []digest.Digest{digest.FromString("base"), digest.FromString("top")}
	chains := identity.ChainIDs([]digest.Digest{diffs[0], diffs[1]})
	got := files(t, dir)
	low, high := got["overlay2/snapshot-7/link"], got["overlay2/snapshot-8/link"]
	if len(low) != 26 || len(high) != 26 || low == high {
		t.Errorf("short names %q and %q", low, high)
	}
	layerdb := "image/overlay2/layerdb/sha256/"
	want := map[string]string{
		"overlay2/snapshot-7/link": low, "overlay2/snapshot-7/diff": "-> /layers/7/fs",
		"overlay2/snapshot-8/link": high, "overlay2/snapshot-8/diff": "-> /layers/8/fs", "overlay2/snapshot-8/lower": "l/" + low,
		layerdb + hexOf(chains[0].String()) + "/cache-id": "snapshot-7", layerdb + hexOf(chains[0].String()) + "/diff": diffs[0].String(),
		layerdb + hexOf(chains[0].String()) + "/size":     "0",
		layerdb + hexOf(chains[1].String()) + "/cache-id": "snapshot-8", layerdb + hexOf(chains[1].String()) + "/diff": diffs[1].String(),
		layerdb + hexOf(chains[1].String()) + "/size": "0", layerdb + hexOf(chains[1].String()) + "/parent": chains[0].String(),
		"image/overlay2/imagedb/content/sha256/" + hexOf(config): string(c.blobs[config]),
		"image/overlay2/repositories.json":                       fmt.Sprintf(`{"Repositories":{"app":{"app:1":%q},"stored.invalid/host":{"stored.invalid/host:%s":%q}}}`, config, hexOf(id), config),
		"index.json":                                             got["index.json"],
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if s.Layers() != c.root+"/snapshots" {
		t.Errorf("layers at %s", s.Layers())
	}
	if len(c.views) != 0 {
		t.Errorf("views are left: %v", c.views)
	}
	if err := s.Drop(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if left := files(t, dir); len(left) != 2 || left["index.json"] != "{}" {
		t.Errorf("left of a dropped image: %v", left)
	}
}

// TestSharedLayers: images share layers, and one that goes leaves the other's.
func TestSharedLayers(t *testing.T) {
	c, dir := startContainerd(t), t.TempDir()
	s := c.open(t, dir)
	first, _ := c.image("docker.io/library/a:1", "base", "a")
	second, _ := c.image("docker.io/library/b:1", "base", "b")
	load(t, s, second)
	alone := files(t, dir)
	load(t, s, first)
	if err := s.Drop(t.Context(), first); err != nil {
		t.Fatal(err)
	}
	delete(alone, "index.json")
	got := files(t, dir)
	delete(got, "index.json")
	if diff := cmp.Diff(alone, got); diff != "" {
		t.Errorf("(-before +after):\n%s", diff)
	}
}

// TestNameMoves: a name belongs to the image that has it now.
func TestNameMoves(t *testing.T) {
	c, dir := startContainerd(t), t.TempDir()
	s := c.open(t, dir)
	old, _ := c.image("docker.io/library/app:1", "old")
	load(t, s, old)
	now, config := c.image("docker.io/library/app:1", "now")
	load(t, s, now)
	var seen struct{ Repositories map[string]map[string]string }
	if err := json.Unmarshal([]byte(files(t, dir)["image/overlay2/repositories.json"]), &seen); err != nil {
		t.Fatal(err)
	}
	if got := seen.Repositories["app"]["app:1"]; got != config || len(seen.Repositories["stored.invalid/host"]) != 2 {
		t.Errorf("%v, want %s", seen.Repositories, config)
	}
}

// TestAgain: a Store finds what an earlier one described, and makes good what is damaged.
func TestAgain(t *testing.T) {
	c := startContainerd(t)
	id, config := c.image("docker.io/library/app:1", "base", "top")
	other, _ := c.image("docker.io/library/other:1", "other")
	for name, damage := range map[string]func(dir string) error{
		"nothing":  func(string) error { return nil },
		"a layer":  func(dir string) error { return os.RemoveAll(dir + "/overlay2/snapshot-8") },
		"a link":   func(dir string) error { return os.Truncate(dir+"/overlay2/snapshot-8/link", 0) },
		"names":    func(dir string) error { return os.Remove(dir + "/image/overlay2/repositories.json") },
		"leftover": func(dir string) error { return os.MkdirAll(dir+"/overlay2/snapshot-99", 0o700) },
		"configuration": func(dir string) error {
			return os.Truncate(dir+"/image/overlay2/imagedb/content/sha256/"+hexOf(config), 3)
		},
		"index":    func(dir string) error { return os.WriteFile(dir+"/index.json", []byte("{"), 0o600) },
		"no index": func(dir string) error { return os.Remove(dir + "/index.json") },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			load(t, c.open(t, dir), other, id)
			before := files(t, dir)
			if err := damage(dir); err != nil {
				t.Fatal(err)
			}
			s := c.open(t, dir)
			if name == "nothing" {
				if has, err := s.Has(t.Context(), id); !has || err != nil {
					t.Errorf("has %t, %v", has, err)
				}
			}
			load(t, s, other, id)
			after := files(t, dir)
			delete(before, "index.json")
			delete(after, "index.json")
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("(-before +after):\n%s", diff)
			}
		})
	}
}

// TestStale: an image that was removed and came again has other folders, which a sandbox
// that booted before does not show.
func TestStale(t *testing.T) {
	c, dir := startContainerd(t), t.TempDir()
	s := c.open(t, dir)
	id, _ := c.image("docker.io/library/app:1", "base", "top")
	load(t, s, id)
	old := []string{"snapshot-8", "snapshot-7"}
	if s.Stale(id, old) || !s.Stale(id, []string{"snapshot-7", "snapshot-8"}) || s.Stale(id, []string{"0123abc"}) {
		t.Error("what is shared now is stale, or another thing is not, or a copy is")
	}
	c.drop("docker.io/library/app:1")
	if has, err := s.Has(t.Context(), id); has || err != nil {
		t.Errorf("an image whose layers are gone: has %t, %v", has, err)
	}
	c.image("docker.io/library/app:1", "base", "top")
	load(t, s, id)
	if !s.Stale(id, old) || s.Stale(id, []string{"snapshot-10", "snapshot-9"}) {
		t.Error("the folders of before are not stale")
	}
	if got := files(t, dir)["overlay2/snapshot-9/diff"]; got != "-> /layers/9/fs" {
		t.Errorf("the new layer leads to %q", got)
	}
}

// TestKeep: containerd holds what is pinned, under either id, and nothing else of this
// instance.
func TestKeep(t *testing.T) {
	c, dir := startContainerd(t), t.TempDir()
	s := c.open(t, dir)
	a, _ := c.image("docker.io/library/a:1", "a")
	b, configB := c.image("docker.io/library/b:1", "b")
	load(t, s, a, b)
	c.leases["sd-other-hold-1"] = &lease{labels: map[string]string{"docker-sd.instance": "another", "docker-sd.hold": "x"}}
	hold := func(id, layer string) string {
		return "sd-hold-" + hexOf(id)[:12] + " " + digest.FromString(layer).String()
	}
	check := func(when string, pinned map[string]bool, want ...string) {
		t.Helper()
		if err := s.Keep(t.Context(), pinned); err != nil {
			t.Fatalf("%s: %v", when, err)
		}
		var got []string
		for _, line := range c.held() {
			if !strings.HasPrefix(line, "sd-other") {
				got = append(got, line)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" || len(c.leases) != len(want)+1 {
			t.Errorf("%s (-want +got):\n%s", when, diff)
		}
	}
	check("one", map[string]bool{a: true}, hold(a, "a"))
	asked := c.creations
	check("the same", map[string]bool{a: true}, hold(a, "a"))
	if c.creations != asked {
		t.Error("a lease that is complete is made again")
	}
	check("by the id inside", map[string]bool{configB: true}, hold(b, "b"))
	check("of no image here", map[string]bool{"sha256:ffff": true})
	// A crash between the two calls left a lease that holds nothing.
	check("one again", map[string]bool{b: true}, hold(b, "b"))
	c.leases["sd-hold-"+hexOf(b)[:12]].resources = nil
	s = c.open(t, dir)
	check("completed", map[string]bool{b: true}, hold(b, "b"))
	// The description is lost, and the pod is known by the id inside.
	s = c.open(t, t.TempDir())
	check("without a description", map[string]bool{configB: true}, hold(b, "b"))
	check("none", nil)
}

// TestKeepFails: what fails for one image is done for the others, and again the next time.
func TestKeepFails(t *testing.T) {
	c := startContainerd(t)
	s := c.open(t, t.TempDir())
	a, _ := c.image("docker.io/library/a:1", "a")
	load(t, s, a)
	c.fails["AddResource"] = status.Error(codes.Unavailable, "busy")
	if err := s.Keep(t.Context(), map[string]bool{a: true}); err == nil {
		t.Error("no error")
	}
	delete(c.fails, "AddResource")
	if err := s.Keep(t.Context(), map[string]bool{a: true}); err != nil || !strings.Contains(strings.Join(c.held(), ""), digest.FromString("a").String()) {
		t.Errorf("%v, %v", c.held(), err)
	}
}

// TestIndex: an index leads to the manifest for this machine.
func TestIndex(t *testing.T) {
	c := startContainerd(t)
	s := c.open(t, t.TempDir())
	here, config := c.image("docker.io/library/here:1", "here")
	foreign, _ := c.image("docker.io/library/foreign:1", "foreign")
	const missing = "sha256:0000000000000000000000000000000000000000000000000000000000000000"
	type platform = map[string]any
	entry := func(id string, p platform) map[string]any {
		out := map[string]any{"digest": id, "size": 1}
		if p != nil {
			out["platform"] = p
		}
		return out
	}
	index := func(entries ...any) string { return c.put(map[string]any{"manifests": entries}) }
	ours := platform{"os": "linux", "architecture": runtime.GOARCH}
	for name, test := range map[string]struct {
		id string
		ok bool
	}{
		"the platform":  {index(entry(foreign, platform{"os": "linux", "architecture": "riscv64"}), entry(here, ours)), true},
		"attestation":   {index(entry(foreign, platform{"os": "unknown", "architecture": "unknown"}), entry(here, ours)), true},
		"none named":    {index(entry(here, nil)), true},
		"named first":   {index(entry(foreign, nil), entry(here, ours)), true},
		"absent":        {index(entry(missing, ours), entry(here, nil)), true},
		"nested":        {index(entry(index(entry(here, ours)), ours)), true},
		"nested deeply": {index(entry(index(entry(index(entry(index(entry(here, ours)), ours)), ours)), ours)), false},
		"not for here":  {index(entry(foreign, platform{"os": "windows", "architecture": runtime.GOARCH})), false},
		"nothing":       {index(), false},
	} {
		t.Run(name, func(t *testing.T) {
			err := s.Load(t.Context(), test.id, nil)
			there, _ := s.List(t.Context())
			if (err == nil) != test.ok || test.ok && there[test.id] != config {
				t.Errorf("%v, %v", there[test.id], err)
			}
		})
	}
}

// TestRefused: an image whose layers are not plain folders is not described.
func TestRefused(t *testing.T) {
	c, dir := startContainerd(t), t.TempDir()
	s := c.open(t, dir)
	id, _ := c.image("docker.io/library/app:1", "base", "top")
	before := files(t, dir)
	for name, mounts := range map[string][]*types.Mount{
		"none":            {},
		"two":             {{Type: "bind", Source: c.root + "/snapshots/7/fs"}, {Type: "bind", Source: c.root + "/snapshots/8/fs"}},
		"another place":   {{Type: "overlay", Options: []string{"lowerdir=/etc:" + c.root + "/snapshots/7/fs"}}},
		"a way out":       {{Type: "overlay", Options: []string{"lowerdir=" + c.root + "/snapshots/../../fs:" + c.root + "/snapshots/7/fs"}}},
		"relative":        {{Type: "overlay", Options: []string{"lowerdir=snapshots/8/fs:snapshots/7/fs"}}},
		"too few":         {{Type: "bind", Source: c.root + "/snapshots/8/fs"}},
		"user attributes": {{Type: "overlay", Options: []string{"userxattr", "lowerdir=" + c.root + "/snapshots/8/fs:" + c.root + "/snapshots/7/fs"}}},
		"mapped ids":      {{Type: "overlay", Options: []string{"uidmap=0:1:2", "lowerdir=" + c.root + "/snapshots/8/fs:" + c.root + "/snapshots/7/fs"}}},
		"erofs":           {{Type: "erofs", Source: c.root + "/snapshots/8/layer.erofs"}},
	} {
		c.mounts = func([]*types.Mount) []*types.Mount { return mounts }
		if err := s.Load(t.Context(), id, nil); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	c.mounts = nil
	unpacked := digest.FromString("never unpacked")
	c.put(map[string]any{"config": map[string]any{"digest": c.put(map[string]any{"rootfs": map[string]any{"diff_ids": []digest.Digest{unpacked}}})}})
	empty := c.put(map[string]any{"config": map[string]any{"digest": c.put(map[string]any{"rootfs": map[string]any{"diff_ids": []string{}}})}})
	for _, bad := range []string{empty, c.put(map[string]any{"config": map[string]any{"digest": c.put(map[string]any{"rootfs": map[string]any{"diff_ids": []digest.Digest{unpacked}}})}}),
		c.put([]int{1}), "sha256:0", "", digest.FromString("absent").String()} {
		if err := s.Load(t.Context(), bad, nil); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
	c.blobs[id] = []byte(`{"config":{"digest":"sha256:1"}}`)
	if err := s.Load(t.Context(), id, nil); err == nil || !strings.Contains(err.Error(), "has the digest") {
		t.Errorf("a document with another digest: %v", err)
	}
	if diff := cmp.Diff(before, files(t, dir)); diff != "" {
		t.Errorf("something was written:\n%s", diff)
	}
	if len(c.views) != 0 {
		t.Errorf("views are left: %v", c.views)
	}
}
