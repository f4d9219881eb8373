package snapshots_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// TestStaleNeighbour: the layers of an image that has left the host may come again with another
// image, in other folders. The one that has left is not described in the old ones beside it:
// after a start, it would lead both there.
func TestStaleNeighbour(t *testing.T) {
	c, dir := startContainerd(t), t.TempDir()
	s := c.open(t, dir)
	gone, _ := c.image("docker.io/library/gone:1", "base", "gone")
	apart, _ := c.image("docker.io/library/apart:1", "apart")
	load(t, s, gone, apart)
	c.drop("docker.io/library/gone:1")
	c.unpack([]digest.Digest{digest.FromString("apart")})
	id, _ := c.image("docker.io/library/app:1", "base", "top")
	load(t, s, id)
	listed, err := s.List(t.Context())
	if err != nil || listed[gone] != "" || listed[id] == "" || listed[apart] == "" {
		t.Errorf("%v, %v", listed, err)
	}
	base := "image/overlay2/layerdb/sha256/" + hexOf(digest.FromString("base").String()) + "/cache-id"
	want := files(t, dir)
	for range 8 { // images are in no order
		c.open(t, dir)
		if got := files(t, dir); got[base] != want[base] || got["overlay2/"+got[base]+"/diff"] == "" {
			t.Fatalf("the layer is in %s, it was in %s", got[base], want[base])
		}
	}
}

// TestNumbersAgain: a containerd that was set up anew counts folders from the beginning. What was
// described before is not found in the folders that other layers have now.
func TestNumbersAgain(t *testing.T) {
	c, dir := startContainerd(t), t.TempDir()
	gone, _ := c.image("docker.io/library/gone:1", "base", "gone")
	load(t, c.open(t, dir), gone)
	c.drop("docker.io/library/gone:1")
	c.next = 7
	s := c.open(t, dir)
	id, _ := c.image("docker.io/library/app:1", "one", "two")
	load(t, s, id)
	if listed, err := s.List(t.Context()); err != nil || len(listed) != 1 || listed[id] == "" {
		t.Errorf("%v, %v", listed, err)
	}
}

// TestContainerdRestarts: after a start of containerd calls succeed at once.
func TestContainerdRestarts(t *testing.T) {
	c := startContainerd(t)
	s := c.open(t, t.TempDir())
	id, _ := c.image("docker.io/library/app:1", "app")
	c.stop()
	for range 2 { // the first may meet the connection as it breaks
		away, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		err := s.Load(away, id, nil)
		cancel()
		if err == nil {
			t.Fatal("an image is described while containerd is away")
		}
	}
	defer c.serve(t)()
	if err := s.Load(t.Context(), id, nil); err != nil {
		t.Error(err)
	}
}

// TestContainerdStaysAway: pods wait for a containerd that is away, but not each of them as long,
// and it is used as soon as it is there again.
func TestContainerdStaysAway(t *testing.T) {
	c := startContainerd(t)
	s := c.open(t, t.TempDir())
	id, _ := c.image("docker.io/library/app:1", "app")
	const limit = 5 * time.Second
	s.SetLimit(limit)
	c.stop()
	began := time.Now()
	if err := s.Load(t.Context(), id, nil); err == nil {
		t.Fatal("an image is described while containerd is away")
	}
	for time.Since(began) < limit { // it may have met the connection as it broke
		_ = s.Load(t.Context(), id, nil)
	}
	began = time.Now()
	for range 3 {
		if err := s.Load(t.Context(), id, nil); err == nil {
			t.Fatal("an image is described while containerd is away")
		}
	}
	if took := time.Since(began); took >= limit {
		t.Errorf("3 calls took %s", took)
	}
	defer c.serve(t)()
	until, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for err := s.Load(until, id, nil); err != nil; err = s.Load(until, id, nil) {
		if until.Err() != nil {
			t.Fatal(err)
		}
	}
}

// TestRefused_Names: what is no digest of a layer becomes no path, even if containerd has a
// snapshot of that name.
func TestRefused_Names(t *testing.T) {
	c, dir := startContainerd(t), filepath.Join(t.TempDir(), "layers")
	s := c.open(t, dir)
	for _, diff := range []digest.Digest{"sha256:../../../../../out", "out", "sha256:", digest.SHA512.FromString("base")} {
		c.unpack([]digest.Digest{diff})
		config := c.put(map[string]any{"rootfs": map[string]any{"diff_ids": []digest.Digest{diff}}})
		if err := s.Load(t.Context(), c.put(map[string]any{"config": map[string]any{"digest": config}}), nil); err == nil {
			t.Errorf("%s: no error", diff)
		}
	}
	if found := files(t, filepath.Dir(dir)); len(found) != 2 {
		t.Errorf("something was written: %v", found)
	}
}
