package machine

import (
	"os"
	"path/filepath"
	"testing"
)

func TestOwnerOf(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	if _, err := OwnerOf(path); !os.IsNotExist(err) {
		t.Errorf("OwnerOf() of nothing = %v", err)
	}
	if err := os.WriteFile(path, nil, 0o640); err != nil {
		t.Fatal(err)
	}
	o, err := OwnerOf(path)
	if err != nil || o.UID != uint32(os.Geteuid()) || o.Mode.Perm() != 0o640 {
		t.Errorf("OwnerOf() = %+v, %v", o, err)
	}
	if o := Owned(0, 0); o.User != "root" || o.Group != "root" {
		t.Errorf("the first user is %+v", o)
	}
	if o := Owned(4_000_000_001, 4_000_000_002); o.User != "4000000001" || o.Group != "4000000002" {
		t.Errorf("a user without a name is %+v", o)
	}
}
