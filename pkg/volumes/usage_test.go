package volumes_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes"
)

func limited(name, limit string, medium v1.StorageMedium) v1.Volume {
	return volume(name, v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{SizeLimit: new(resource.MustParse(limit)), Medium: medium}})
}

func TestOverLimit(t *testing.T) {
	root := podFolder(t)
	set := prepare(t, root, podWith(limited("full", "1Mi", ""), limited("linked", "1Mi", ""), limited("sparse", "1Mi", ""),
		limited("mem", "1", "Memory"), limited("zero", "0", ""), emptyDir("free")), volumes.Data{}, volumes.Policy{})
	in := func(parts ...string) string { return filepath.Join(root, "emptyDirs", filepath.Join(parts...)) }
	big := strings.Repeat("x", 600<<10)
	mkdir(t, in("full/a/b"))
	write(t, in("full/a/b/one"), big)
	write(t, in("full/\xff"), big)
	write(t, in("linked/one"), big)
	if err := os.Link(in("linked/one"), in("linked/two")); err != nil {
		t.Fatal(err)
	}
	symlink(t, in("full"), in("linked/away"))
	write(t, in("sparse/f"), "")
	if err := os.Truncate(in("sparse/f"), 1<<30); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"mem", "zero", "free"} {
		write(t, in(name, "f"), big)
	}

	got, err := set.OverLimit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0].Volume != "full" || got[0].LimitBytes != 1<<20 {
		t.Fatalf("got %+v, want the volume full alone", got)
	}
	if used := got[0].UsedBytes; used < 1200<<10 || used > 1400<<10 {
		t.Errorf("got %d bytes used, want about 1200 Ki", used)
	}
}

// TestOverLimitOfDepth: what is too much counts however deep it lies.
func TestOverLimitOfDepth(t *testing.T) {
	root := podFolder(t)
	set := prepare(t, root, podWith(limited("deep", "1Mi", "")), volumes.Data{}, volumes.Policy{})
	path := filepath.Join(root, "emptyDirs/deep", strings.Repeat("d/", 300))
	if err := os.MkdirAll(path, 0o755); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(path, "f"), strings.Repeat("x", 2<<20))
	got, err := set.OverLimit(t.Context())
	if err != nil || len(got) != 1 || got[0].UsedBytes < 2<<20 {
		t.Errorf("got %+v and %v, want the volume", got, err)
	}
}

func TestOverLimitErrors(t *testing.T) {
	root := podFolder(t)
	set := prepare(t, root, podWith(limited("gone", "1", ""), limited("full", "1", "")), volumes.Data{}, volumes.Policy{})
	write(t, filepath.Join(root, "emptyDirs/full/f"), "x")
	if err := os.Remove(filepath.Join(root, "emptyDirs/gone")); err != nil {
		t.Fatal(err)
	}
	got, err := set.OverLimit(t.Context())
	if err == nil || !strings.Contains(err.Error(), `"gone"`) || len(got) != 1 {
		t.Errorf("got %v and %v, want the volume full and an error on gone", got, err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := set.OverLimit(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the cancellation", err)
	}
}
