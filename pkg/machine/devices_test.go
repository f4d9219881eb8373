package machine

import (
	"os"
	"path/filepath"
	"testing"
)

// TestHas: a device counts that is there, or that the kernel has where its file is not in
// this container.
func TestHas(t *testing.T) {
	plain := filepath.Join(t.TempDir(), "tun")
	if err := os.WriteFile(plain, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]bool{"/dev/null": true, "/nowhere/null": false, plain + "-none": false, filepath.Dir(plain): false} {
		if got := Has(path); got != want {
			t.Errorf("Has(%s) = %v, want %v", path, got, want)
		}
	}
	if isDevice(plain) {
		t.Errorf("the file %s counts as a device", plain)
	}
	sysfs := t.TempDir()
	if err := os.MkdirAll(filepath.Join(sysfs, "class/misc/tun"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(sysfs, "class/misc/tun/dev"), []byte("10:200\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if !knownToKernel(sysfs, "tun") || knownToKernel(sysfs, "fuse") {
		t.Error("the kernel has tun, and not fuse")
	}
}
