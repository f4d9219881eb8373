package rootfs_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/intertwin-eu/interlink-docker-plugin/tests/lab/rootfs"
)

type member struct {
	Name, Link, Content string
	Type                byte
	Mode                int64
	UID                 int
}

func members(t *testing.T, tree *rootfs.Tree) []member {
	t.Helper()
	var stream bytes.Buffer
	if err := tree.WriteTar(&stream); err != nil {
		t.Fatalf("WriteTar: %v", err)
	}
	var got []member
	in := tar.NewReader(&stream)
	for {
		h, err := in.Next()
		if errors.Is(err, io.EOF) {
			return got
		}
		if err != nil {
			t.Fatalf("read the stream: %v", err)
		}
		content, err := io.ReadAll(in)
		if err != nil {
			t.Fatalf("read %s: %v", h.Name, err)
		}
		got = append(got, member{h.Name, h.Linkname, string(content), h.Typeflag, h.Mode, h.Uid})
	}
}

func TestTree_WriteTar(t *testing.T) {
	dir := t.TempDir()
	source := filepath.Join(dir, "program")
	if err := os.WriteFile(source, []byte("machine code"), 0o600); err != nil {
		t.Fatal(err)
	}
	// Chmod, because the umask takes bits from WriteFile's mode.
	if err := os.Chmod(source, 0o755|os.ModeSetuid); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(dir, "link")
	if err := os.Symlink("program", link); err != nil {
		t.Fatal(err)
	}

	tree := rootfs.NewTree()
	tree.Dir("tmp", 0o1777, 0)
	tree.Dir("home/app", 0o755, 1000)
	tree.File("/etc/passwd", 0o644, "root\n")
	tree.Link("bin/sh", "busybox")
	if err := tree.Copy("bin/busybox", link); err != nil {
		t.Fatal(err)
	}
	want := []member{
		{Name: "bin/", Type: tar.TypeDir, Mode: 0o755},
		{Name: "bin/busybox", Type: tar.TypeReg, Mode: 0o755, Content: "machine code"},
		{Name: "bin/sh", Type: tar.TypeSymlink, Mode: 0o777, Link: "busybox"},
		{Name: "etc/", Type: tar.TypeDir, Mode: 0o755},
		{Name: "etc/passwd", Type: tar.TypeReg, Mode: 0o644, Content: "root\n"},
		{Name: "home/", Type: tar.TypeDir, Mode: 0o755},
		{Name: "home/app/", Type: tar.TypeDir, Mode: 0o755, UID: 1000},
		{Name: "tmp/", Type: tar.TypeDir, Mode: 0o1777},
	}
	if diff := cmp.Diff(want, members(t, tree)); diff != "" {
		t.Errorf("members (-want +got):\n%s", diff)
	}
}

func TestTree_WriteTarRefuses(t *testing.T) {
	for _, name := range []string{"../etc/passwd", "a/../../b", "", "a//b"} {
		t.Run(name, func(t *testing.T) {
			tree := rootfs.NewTree()
			tree.File(name, 0o644, "x")
			if err := tree.WriteTar(io.Discard); err == nil {
				t.Errorf("WriteTar of a file %q succeeded", name)
			}
		})
	}
	t.Run("a source that grew", func(t *testing.T) {
		source := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(source, []byte("1"), 0o600); err != nil {
			t.Fatal(err)
		}
		tree := rootfs.NewTree()
		if err := tree.Copy("f", source); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(source, []byte("12"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := tree.WriteTar(io.Discard); err == nil {
			t.Error("WriteTar succeeded")
		}
	})
}

func TestTree_CopyRefuses(t *testing.T) {
	dir := t.TempDir()
	for name, source := range map[string]string{"directory": dir, "missing": filepath.Join(dir, "missing")} {
		t.Run(name, func(t *testing.T) {
			if err := rootfs.NewTree().Copy("f", source); err == nil {
				t.Error("Copy succeeded")
			}
		})
	}
}

func TestTree_Hash(t *testing.T) {
	hash := func(content string, mode int64, settings ...string) string {
		t.Helper()
		tree := rootfs.NewTree()
		tree.File("f", mode, content)
		got, err := tree.Hash(settings...)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	base := hash("a", 0o644, "CMD x")
	if got := hash("a", 0o644, "CMD x"); got != base {
		t.Errorf("the same tree hashes to %s and %s", base, got)
	}
	for name, other := range map[string]string{
		"content":          hash("b", 0o644, "CMD x"),
		"mode":             hash("a", 0o755, "CMD x"),
		"setting":          hash("a", 0o644, "CMD y"),
		"settings divided": hash("a", 0o644, "CMD", "x"),
	} {
		if other == base {
			t.Errorf("another %s has the same hash", name)
		}
	}
}

func TestTree_CloneIsIndependent(t *testing.T) {
	tree := rootfs.NewTree()
	tree.File("a", 0o644, "")
	clone := tree.Clone()
	clone.File("b", 0o644, "")
	if got := len(members(t, tree)); got != 1 {
		t.Errorf("the original has %d members after a change to its clone, want 1", got)
	}
	if got := len(members(t, clone)); got != 2 {
		t.Errorf("the clone has %d members, want 2", got)
	}
}
