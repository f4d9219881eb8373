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
)

// Pack writes a file, or a folder with all below it, as a tar stream whose names begin with
// name; "." is what is in a folder. A link at the end of source is followed, other links are
// packed as links. Devices and the like are left out; told is called with a sentence about
// each.
func Pack(to io.Writer, source, name string, told func(string)) error {
	source, err := filepath.EvalSymlinks(source)
	if err != nil {
		return err
	}
	archive := tar.NewWriter(to)
	err = filepath.WalkDir(source, func(at string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		below, err := filepath.Rel(source, at)
		if err != nil {
			return err
		}
		within := path.Join(name, filepath.ToSlash(below))
		if within == "." && entry.IsDir() {
			return nil // the folder that it goes to stays as it is
		}
		if err := pack(archive, at, within, entry, told); err != nil {
			return fmt.Errorf("copy %s: %w", at, err)
		}
		return nil
	})
	return errors.Join(err, archive.Close())
}

// pack writes one entry.
func pack(archive *tar.Writer, at, name string, entry fs.DirEntry, told func(string)) error {
	info, err := entry.Info()
	if err != nil {
		return err
	}
	target := ""
	switch info.Mode().Type() {
	case 0, fs.ModeDir:
	case fs.ModeSymlink:
		if target, err = os.Readlink(at); err != nil {
			return err
		}
	default:
		told(fmt.Sprintf("left out %q: it is neither a file nor a folder nor a link", at))
		return nil
	}
	header, err := tar.FileInfoHeader(info, target)
	if err != nil {
		return err
	}
	// Whose they are here means nothing in a container.
	header.Uid, header.Gid, header.Uname, header.Gname = 0, 0, "", ""
	header.Name, header.Mode, header.Format = name, int64(info.Mode().Perm()), tar.FormatPAX
	if info.IsDir() {
		header.Name += "/"
	}
	if !info.Mode().IsRegular() {
		return archive.WriteHeader(header)
	}
	return packFile(archive, at, header)
}

// packFile writes a file with the size that it has when it is opened.
func packFile(archive *tar.Writer, at string, header *tar.Header) error {
	file, err := os.Open(at)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	header.Size = info.Size()
	if err := archive.WriteHeader(header); err != nil {
		return err
	}
	if n, err := io.CopyN(archive, file, header.Size); err != nil {
		return fmt.Errorf("it has changed, %d of %d bytes are there: %w", n, header.Size, err)
	}
	return nil
}
