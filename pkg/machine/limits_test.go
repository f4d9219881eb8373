package machine

import (
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestInotifyInstances: those of this process are seen in the real /proc, and others' are not.
func TestInotifyInstances(t *testing.T) {
	own := uint32(os.Geteuid())
	proc := t.TempDir()
	if err := os.Symlink("/proc/self", filepath.Join(proc, "1")); err != nil {
		t.Fatal(err)
	}
	count := func(uid uint32) uint64 {
		t.Helper()
		n, err := InotifyInstances(proc, uid)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	before := count(own)
	for range 2 {
		fd, err := unix.InotifyInit1(unix.IN_CLOEXEC)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
	}
	if got := count(own); got != before+2 {
		t.Errorf("there are %d instances, want 2 more than %d", got, before)
	}
	if got := count(own + 1); got != 0 {
		t.Errorf("another user has %d", got)
	}
}

func TestKeys(t *testing.T) {
	proc := t.TempDir()
	if _, _, err := Keys(proc, 0); err == nil {
		t.Error("a kernel without key-users has keys")
	}
	text := "    0:    17 16/16 11/1000000 608/25000000\n 1000:     2 2/2 2/200 28/20000\n"
	if err := os.WriteFile(filepath.Join(proc, "key-users"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for uid, want := range map[uint32][2]uint64{0: {11, 608}, 1000: {2, 28}, 10: {0, 0}} {
		if n, bytes, err := Keys(proc, uid); err != nil || n != want[0] || bytes != want[1] {
			t.Errorf("Keys(%d) = %d, %d, %v, want %v", uid, n, bytes, err, want)
		}
	}
}
