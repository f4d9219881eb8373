package mounts

import (
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// Read returns what is in a file of a volume that has at most so many bytes. The file is
// opened as what a container mounts is, and nothing is made.
func Read(s initapi.Source, most int64) ([]byte, error) {
	var err error
	if s.Roots, err = mountedRoots(s.Roots); err != nil {
		return nil, err
	}
	volume, err := openSource(initapi.Source{Roots: s.Roots, Path: s.Path, NoCreate: true, Private: s.Private})
	if err != nil {
		return nil, err
	}
	defer volume.close()
	return readBelow(volume, s, most)
}

// readBelow reads the file at the source's SubPath of a volume.
func readBelow(volume opened, s initapi.Source, most int64) ([]byte, error) {
	w, err := walkFrom(volume, s.Private)
	if err != nil {
		return nil, err
	}
	defer w.close()
	if err := w.walk(s.SubPath); err != nil {
		return nil, err
	}
	if len(w.missing) > 0 {
		return nil, &initapi.Error{Kind: initapi.KindMissing, Message: "does not exist"}
	}
	file, err := w.take()
	if err != nil {
		return nil, err
	}
	defer file.close()
	// Another kind of file may never end, or wait for somebody who writes.
	if file.mode&unix.S_IFMT != unix.S_IFREG {
		return nil, &initapi.Error{Kind: initapi.KindInvalid, Message: "is not a file"}
	}
	f, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", file.fd))
	if err != nil {
		return nil, fmt.Errorf("cannot be opened: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	if int64(len(data)) > most {
		return nil, &initapi.Error{Kind: initapi.KindInvalid, Message: fmt.Sprintf("has more than %d bytes", most)}
	}
	return data, nil
}
