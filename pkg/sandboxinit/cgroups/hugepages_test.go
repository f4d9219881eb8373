package cgroups

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// TestBoundHugePages: by the names of both versions, reservations too where the kernel has
// them, and no other size.
func TestBoundHugePages(t *testing.T) {
	for name, c := range map[string]struct {
		files []string
		want  map[string]string
	}{
		"version 2":                {[]string{"hugetlb.2MB.max", "hugetlb.2MB.rsvd.max", "hugetlb.1GB.max"}, map[string]string{"hugetlb.2MB.max": "4194304", "hugetlb.2MB.rsvd.max": "4194304", "hugetlb.1GB.max": "0"}},
		"version 1, older kernels": {[]string{"hugetlb.2MB.limit_in_bytes", "hugetlb.2MB.max_usage_in_bytes"}, map[string]string{"hugetlb.2MB.limit_in_bytes": "4194304", "hugetlb.2MB.max_usage_in_bytes": "0"}},
		"none":                     {[]string{"hugetlb.1GB.max"}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			group := t.TempDir()
			for _, file := range c.files {
				writeFile(t, filepath.Join(group, file), "0")
			}
			err := boundHugePages(group, initapi.HugePages{PageBytes: 2 << 20, Bytes: 4 << 20})
			if (err == nil) != (c.want != nil) {
				t.Fatalf("error %v", err)
			}
			for file, want := range c.want {
				if got, err := os.ReadFile(filepath.Join(group, file)); err != nil || string(got) != want {
					t.Errorf("%s has %q, %v, want %q", file, got, err, want)
				}
			}
		})
	}
	for page, want := range map[int64]string{64 << 10: "64KB", 2 << 20: "2MB", 512 << 20: "512MB", 1 << 30: "1GB", 16 << 30: "16GB"} {
		if got := (initapi.HugePages{PageBytes: page}).Size(); got != want {
			t.Errorf("pages of %d bytes are called %s, want %s", page, got, want)
		}
	}
}
