// Package rootfs builds small root file systems for test images as tar streams,
// from bytes and from the programs of the machine that runs the tests.
package rootfs

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"
	"time"
)

// Tree is a root file system that exists only as a list of entries. Two trees
// with equal entries write equal tar streams, on any machine and at any time.
// Paths may be given with or without a leading slash; parents are added with
// mode 0755. A later entry replaces an earlier one of the same path.
type Tree struct {
	entries map[string]entry
}

type entry struct {
	header  tar.Header
	content []byte
	// source is read instead of content when it is not empty.
	source string
}

// NewTree returns a tree that holds nothing.
func NewTree() *Tree {
	return &Tree{entries: make(map[string]entry)}
}

// Clone returns a tree with the same entries, to add others to.
func (t *Tree) Clone() *Tree {
	return &Tree{entries: maps.Clone(t.entries)}
}

// Dir adds a directory with the tar mode bits (01777 for a sticky one) that
// belongs to user and group uid.
func (t *Tree) Dir(name string, mode int64, uid int) {
	t.put(name, entry{header: tar.Header{Typeflag: tar.TypeDir, Mode: mode, Uid: uid, Gid: uid}})
}

// File adds a regular file of root.
func (t *Tree) File(name string, mode int64, content string) {
	t.put(name, entry{
		header:  tar.Header{Typeflag: tar.TypeReg, Mode: mode, Size: int64(len(content))},
		content: []byte(content),
	})
}

// Link adds a symbolic link.
func (t *Tree) Link(name, target string) {
	t.put(name, entry{header: tar.Header{Typeflag: tar.TypeSymlink, Mode: 0o777, Linkname: target}})
}

// Copy adds the regular file that source names, links followed, as a file of
// root with the permissions of the source and without its setuid bits. The
// content is read when the tree is written.
func (t *Tree) Copy(name, source string) error {
	info, err := os.Stat(source)
	if err != nil {
		return fmt.Errorf("copy into the image as %s: %w", name, err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("copy %s into the image as %s: not a regular file", source, name)
	}
	t.put(name, entry{
		header: tar.Header{Typeflag: tar.TypeReg, Mode: int64(info.Mode().Perm()), Size: info.Size()},
		source: source,
	})
	return nil
}

func (t *Tree) put(name string, e entry) {
	name = strings.TrimPrefix(name, "/")
	for dir := path.Dir(name); dir != "." && dir != "/"; dir = path.Dir(dir) {
		if _, ok := t.entries[dir]; !ok {
			t.entries[dir] = entry{header: tar.Header{Typeflag: tar.TypeDir, Mode: 0o755}}
		}
	}
	t.entries[name] = e
}

// WriteTar writes the tree as a tar stream, sorted by path and with one fixed
// time, so that the bytes depend on the content alone. It refuses paths that
// are not plain and relative to the root, and fails when a source has changed
// its size since Copy.
func (t *Tree) WriteTar(w io.Writer) error {
	out := tar.NewWriter(w)
	for _, name := range slices.Sorted(maps.Keys(t.entries)) {
		if !fs.ValidPath(name) || name == "." {
			return fmt.Errorf("path %q does not lie below the root of the image", name)
		}
		if err := t.entries[name].write(out, name); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	return out.Close()
}

func (e entry) write(out *tar.Writer, name string) (err error) {
	header := e.header
	header.Name = name
	if header.Typeflag == tar.TypeDir {
		header.Name += "/"
	}
	header.ModTime = time.Unix(0, 0)
	if err := out.WriteHeader(&header); err != nil {
		return err
	}
	if e.source == "" {
		_, err := out.Write(e.content)
		return err
	}
	file, err := os.Open(e.source)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	n, err := io.Copy(out, file)
	if err == nil && n != header.Size {
		err = fmt.Errorf("%s has %d bytes instead of %d: it changes while it is read", e.source, n, header.Size)
	}
	return err
}

// Hash returns the hexadecimal SHA-256 of the tar stream and of the settings
// that go with it, such as the instructions of an image import.
func (t *Tree) Hash(settings ...string) (string, error) {
	sum := sha256.New()
	if err := t.WriteTar(sum); err != nil {
		return "", err
	}
	for _, s := range settings {
		fmt.Fprintf(sum, "%d %s\n", len(s), s)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}
