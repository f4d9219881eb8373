package programs

import (
	"os"
	"path/filepath"
	"testing"
)

func TestContentKey(t *testing.T) {
	dir := t.TempDir()
	if _, err := contentKey(dir); err == nil {
		t.Error("a folder without a module has a key")
	}
	keys := map[string]bool{}
	for _, sums := range []string{"a", "b"} {
		for name, text := range map[string]string{"go.mod": "module m", "go.sum": sums} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		key, err := contentKey(dir)
		if err != nil || len(key) != 12 {
			t.Errorf("key %q, %v", key, err)
		}
		keys[key] = true
	}
	if len(keys) != 2 {
		t.Error("two contents have one key")
	}
}
