package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

func TestChoose(t *testing.T) {
	for _, c := range []struct{ names, want string }{
		{"", "sandbox overlay2 containerd host"},
		{"containerd sandbox", "containerd sandbox"},
	} {
		chosen, err := choose(combinations(), strings.Fields(c.names))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, one := range chosen {
			got = append(got, one.name)
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("of %q: %q, want %q", c.names, got, c.want)
		}
	}
	var stderr bytes.Buffer
	if code := run([]string{"zfs"}, &stderr, &stderr); code != 2 || !strings.Contains(stderr.String(), `"zfs"`) {
		t.Errorf("an unknown combination: code %d, %s", code, &stderr)
	}
}

// TestCombination_Environ: the host's engine comes from PATH, the sandbox's from
// the folders that are named, and no engine that is there is used.
func TestCombination_Environ(t *testing.T) {
	t.Setenv("PATH", "/usr/bin:/bin")
	const installed = "/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"
	for name, want := range map[string][]string{
		"sandbox":    {"PATH=/usr/bin:/bin", "DOCKER_SD_LAB_STORE=", "DOCKER_SD_LAB_SANDBOX_PATH=/new"},
		"overlay2":   {"PATH=/new:/usr/bin:/bin", "DOCKER_SD_LAB_STORE=overlay2", "DOCKER_SD_LAB_SANDBOX_PATH=/new"},
		"containerd": {"PATH=/new:/usr/bin:/bin", "DOCKER_SD_LAB_STORE=containerd", "DOCKER_SD_LAB_SANDBOX_PATH=/new"},
		"host":       {"PATH=/new:/usr/bin:/bin", "DOCKER_SD_LAB_STORE=overlay2", "DOCKER_SD_LAB_SANDBOX_PATH=" + installed},
	} {
		chosen, err := choose(combinations(), []string{name})
		if err != nil {
			t.Fatal(err)
		}
		got := chosen[0].environ([]string{"HOME=/h"}, "/d", "/new")
		for _, entry := range append(want, "HOME=/h", "DOCKER_HOST=unix:///d/"+name+"/docker.sock", "DOCKER_SD_LAB_DIR=/d/"+name) {
			if !slices.Contains(got, entry) {
				t.Errorf("%s: no %s in %q", name, entry, got)
			}
		}
	}
}

// TestCombination_Pattern: the tests of a store run with that store alone.
func TestCombination_Pattern(t *testing.T) {
	for _, c := range combinations() {
		own := strings.Contains(c.pattern(tests), "ContainerdLayers")
		if want := c.store == "containerd"; own != want || strings.Contains(c.tags(), "containerdstore") != want {
			t.Errorf("%s runs %s with the tags %s", c.name, c.pattern(tests), c.tags())
		}
		if got := c.pattern("TestX"); got != "TestX" {
			t.Errorf("%s runs %s, where TestX was asked for", c.name, got)
		}
	}
}
