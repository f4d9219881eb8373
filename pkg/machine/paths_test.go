package machine

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestOutermost(t *testing.T) {
	for name, c := range map[string]struct{ paths, want []string }{
		"none":             {nil, nil},
		"one":              {[]string{"/a"}, []string{"/a"}},
		"twice":            {[]string{"/a", "/a"}, []string{"/a"}},
		"below":            {[]string{"/a/b/c", "/a", "/a/b"}, []string{"/a"}},
		"like in name":     {[]string{"/ab", "/a"}, []string{"/a", "/ab"}},
		"sorts in between": {[]string{"/a", "/a-b", "/a/c"}, []string{"/a", "/a-b"}},
		"root":             {[]string{"/a", "/"}, []string{"/"}},
		"apart":            {[]string{"/b/c", "/a/b"}, []string{"/a/b", "/b/c"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, Outermost(c.paths)); diff != "" {
				t.Errorf("Outermost() (-want +got):\n%s", diff)
			}
		})
	}
}
