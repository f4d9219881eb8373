package mounts

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/inittest"
)

// TestOpenAsRoot: the links of an image are meant for a file system whose root it is.
func TestOpenAsRoot(t *testing.T) {
	for name, tt := range map[string]struct {
		setup   func(t *testing.T, volume string)
		subPath string
		want    string // below the volume; "" is a refusal
	}{
		"absolute link":           {func(t *testing.T, v string) { inittest.Folder(t, v, "a/b"); inittest.Link(t, "/a", v+"/l") }, "l/b", "a/b"},
		"absolute link to it":     {func(t *testing.T, v string) { inittest.Folder(t, v, "a"); inittest.Link(t, "/", v+"/l") }, "l/a", "a"},
		"link that climbs":        {func(t *testing.T, v string) { inittest.Folder(t, v, "a"); inittest.Link(t, "../../../../../a", v+"/l") }, "l", "a"},
		"link by the host's name": {func(t *testing.T, v string) { inittest.Link(t, v, v+"/l") }, "l", ""},
		"loop":                    {func(t *testing.T, v string) { inittest.Link(t, "/l", v+"/l") }, "l", ""},
	} {
		t.Run(name, func(t *testing.T) {
			volume := t.TempDir()
			tt.setup(t, volume)
			s := initapi.Source{Roots: rootsOf(volume), NoCreate: true, SubPath: tt.subPath, AsRoot: true}
			file, err := openSource(s)
			if tt.want == "" {
				if err == nil {
					file.close()
					t.Fatalf("it leads to %s", file.name)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer file.close()
			var got, want unix.Stat_t
			if err := errors.Join(unix.Fstat(file.fd, &got), unix.Stat(filepath.Join(volume, tt.want), &want)); err != nil || got.Ino != want.Ino {
				t.Errorf("it leads to %s, want %s (%v)", file.name, tt.want, err)
			}
			s.AsRoot = false
			if file, err := openSource(s); err == nil {
				file.close()
				t.Errorf("without AsRoot it leads to %s, want a refusal", file.name)
			}
		})
	}
}

func TestLowerFolders(t *testing.T) {
	store := t.TempDir()
	for i := range 125 {
		inittest.Put(t, filepath.Join(store, fmt.Sprint("layer", i), "link"), fmt.Sprintf("%026d\n", i))
	}
	inittest.Put(t, filepath.Join(store, "bad", "link"), "a,upperdir=x")
	var layers []string
	for i := range 125 {
		layers = append(layers, fmt.Sprint("layer", i))
	}
	got, err := lowerFolders(store, layers)
	if err != nil || len(got) != 126 || got[0] != "l/"+strings.Repeat("0", 26) || got[125] != emptyPath+"/0" {
		t.Fatalf("of 125 layers: %d folders, %v", len(got), err)
	}
	if options := len("lowerdir=" + strings.Join(got, ":")); options >= 4096 {
		t.Errorf("the options have %d bytes", options)
	}
	if got, err := lowerFolders(store, nil); err != nil || !slices.Equal(got, []string{emptyPath + "/0", emptyPath + "/1"}) {
		t.Errorf("of no layer: %v, %v", got, err)
	}
	for _, layer := range []string{"none", "bad", "..", "a/b", ""} {
		if got, err := lowerFolders(store, []string{layer}); err == nil {
			t.Errorf("of layer %q: %v", layer, got)
		}
	}
}
