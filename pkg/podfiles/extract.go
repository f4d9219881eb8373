// Package podfiles moves files between this host and a tar stream. A stream comes from a
// pod, so it is read as if an attacker had written it.
package podfiles

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
)

// Extract writes the file or the folder of a tar stream as name in root, and nothing
// elsewhere: no name in the stream, and no link in it or on the host, leads out of that.
// All names in the stream begin with the same folder or are the one file; name takes its
// place, and "." puts what is in it into root. Files are the caller's, without set-user-ID
// bits. Devices and the like, and links that lead elsewhere, are left out; told is called
// with a sentence about each.
func Extract(root *os.Root, name string, stream io.Reader, told func(string)) error {
	e := &extraction{root: root, name: name, told: told, made: map[string]bool{}, times: map[string]time.Time{}}
	defer func() { _ = e.closeTree() }()
	archive := tar.NewReader(stream)
	for count := 0; ; count++ {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) && count > 0 {
			return errors.Join(e.setTimes(), e.closeTree())
		}
		if err != nil {
			return fmt.Errorf("read the archive: %w", err)
		}
		if err := e.entry(header, archive); err != nil {
			return fmt.Errorf("%q in the archive: %w", header.Name, err)
		}
	}
}

// extraction is one call of Extract.
type extraction struct {
	root *os.Root
	name string
	told func(string)
	// top is the first part of all names in the stream. tree is the folder that takes its
	// place; nil until it is known that there is one.
	top  string
	tree *os.Root
	// made are the files that the stream has brought, by their names in the tree.
	made  map[string]bool
	times map[string]time.Time
}

var errOutside = errors.New("it leads out of what was asked for, and nothing more is copied")

// entry writes one entry.
func (e *extraction) entry(header *tar.Header, content io.Reader) error {
	within, err := e.within(header.Name)
	if err != nil {
		return err
	}
	if within == "." {
		return e.first(header, content)
	}
	if e.tree == nil {
		return errors.New("it is below something that is no folder")
	}
	if err := e.parents(within); err != nil {
		return err
	}
	return e.write(e.tree, within, header, content)
}

// within is the name of an entry in the tree; "." is the tree itself.
func (e *extraction) within(name string) (string, error) {
	name = path.Clean(name)
	if !filepath.IsLocal(name) {
		return "", errOutside
	}
	top, rest, _ := strings.Cut(name, "/")
	if e.top == "" {
		e.top = top
	}
	if top != e.top {
		return "", errOutside
	}
	if rest == "" {
		return ".", nil
	}
	return rest, nil
}

// first writes the entry that all the others are below.
func (e *extraction) first(header *tar.Header, content io.Reader) error {
	if header.Typeflag != tar.TypeDir {
		if e.name == "." || e.tree != nil {
			return errors.New("it is no folder")
		}
		return e.write(e.root, e.name, header, content)
	}
	if e.tree != nil {
		return nil
	}
	if err := e.root.MkdirAll(e.name, folderMode(header)); err != nil {
		return err
	}
	tree, err := e.root.OpenRoot(e.name)
	e.tree = tree
	return err
}

// folderMode lets the caller write into a folder and remove it again.
func folderMode(header *tar.Header) fs.FileMode { return header.FileInfo().Mode().Perm() | 0o700 }

// parents makes the folders above a name. None of them may be a link: a stream has none
// there unless it was made to lead elsewhere.
func (e *extraction) parents(name string) error {
	for at, c := range name {
		if c != '/' {
			continue
		}
		folder := name[:at]
		info, err := e.tree.Lstat(folder)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			err = e.tree.Mkdir(folder, 0o755)
		case err == nil && !info.IsDir():
			err = fmt.Errorf("%s is no folder: %w", folder, errOutside)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// write makes one file, folder or link. What was there by that name is replaced, but a
// folder only by a folder.
func (e *extraction) write(to *os.Root, name string, header *tar.Header, content io.Reader) error {
	// Before anything is removed for it.
	if written, err := e.writable(to, name, header); !written || err != nil {
		return err
	}
	info, err := to.Lstat(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case !info.IsDir() && !info.Mode().IsRegular() && info.Mode().Type() != fs.ModeSymlink:
		return fmt.Errorf("%s is neither a file nor a folder: %w", filepath.Join(to.Name(), name), fs.ErrExist)
	case info.IsDir() != (header.Typeflag == tar.TypeDir):
		return fmt.Errorf("there is %s already: %w", filepath.Join(to.Name(), name), fs.ErrExist)
	case info.IsDir():
		return nil
	default:
		// Not overwritten: it may be a link, or have other names.
		if err := to.Remove(name); err != nil {
			return err
		}
		delete(e.made, name)
		delete(e.times, name)
	}
	switch header.Typeflag {
	case tar.TypeDir:
		return to.Mkdir(name, folderMode(header))
	case tar.TypeReg:
		return e.file(to, name, header, content)
	case tar.TypeSymlink:
		return to.Symlink(header.Linkname, name)
	}
	target, err := e.within(header.Linkname)
	if err != nil {
		return err
	}
	return to.Link(target, name)
}

// writable says whether an entry is written, and tells why one is left out. An error ends the
// copy, and so does the entry that was asked for itself, if it would be left out.
func (e *extraction) writable(to *os.Root, name string, header *tar.Header) (bool, error) {
	var why string
	switch header.Typeflag {
	case tar.TypeDir, tar.TypeReg:
		return true, nil
	case tar.TypeSymlink:
		if to != e.root && inside(name, header.Linkname) {
			return true, nil
		}
		why = fmt.Sprintf("it is a link to %q, which was not copied", header.Linkname)
	case tar.TypeLink:
		target, err := e.within(header.Linkname)
		if err != nil || to == e.root || target == name || !e.made[target] {
			return false, fmt.Errorf("it is another name of %q, which was not copied: %w", header.Linkname, errOutside)
		}
		return true, nil
	default:
		why = "it is neither a file nor a folder nor a link"
	}
	if to == e.root {
		return false, errors.New(why)
	}
	e.told(fmt.Sprintf("left out %q: %s", header.Name, why))
	return false, nil
}

func (e *extraction) file(to *os.Root, name string, header *tar.Header, content io.Reader) (err error) {
	file, err := to.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, header.FileInfo().Mode().Perm())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if _, err := io.Copy(file, content); err != nil {
		return err
	}
	e.made[name] = true
	if to == e.root {
		return to.Chtimes(name, header.ModTime, header.ModTime)
	}
	e.times[name] = header.ModTime
	return nil
}

// inside says that a link leads to something in the tree, whatever links there are on its
// way: it may go up only at its beginning, from folders that are none.
func inside(name, target string) bool {
	if path.IsAbs(target) || !filepath.IsLocal(path.Join(path.Dir(name), target)) {
		return false
	}
	down := false
	for part := range strings.SplitSeq(target, "/") {
		if part == ".." && down {
			return false
		}
		down = down || part != ".." && part != "." && part != ""
	}
	return true
}

// setTimes gives the files the times of those that they were copied from.
func (e *extraction) setTimes() error {
	var problems []error
	for name, at := range e.times {
		if err := e.tree.Chtimes(name, at, at); err != nil && !errors.Is(err, fs.ErrNotExist) {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

func (e *extraction) closeTree() error {
	if e.tree == nil {
		return nil
	}
	err := e.tree.Close()
	e.tree = nil
	return err
}
