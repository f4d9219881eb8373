package machine

import (
	"os"
	"path/filepath"
	"testing"
)

func TestHasMemory(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want bool
	}{
		"enough":       {"MemTotal: 1000 kB\nMemAvailable: 100 kB\n", true},
		"too little":   {"MemTotal: 1000 kB\nMemFree: 900 kB\nMemAvailable: 99 kB\n", false},
		"not told":     {"MemTotal: 1000 kB\n", true},
		"no such file": {"", true},
	} {
		proc := t.TempDir()
		if c.text != "" {
			if err := os.WriteFile(filepath.Join(proc, "meminfo"), []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if got := hasMemory(proc); got != c.want {
			t.Errorf("%s: %t, want %t", name, got, c.want)
		}
	}
}
