package inside

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/containerd/errdefs"
	"k8s.io/apimachinery/pkg/types"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/admin"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pods"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
)

// Stat describes a file of a container. ErrNotFound if there is none.
func (i *Inside) Stat(ctx context.Context, uid types.UID, name, path string) (admin.FileStat, error) {
	e, id, err := i.existing(uid, name)
	if err != nil {
		return admin.FileStat{}, err
	}
	seen, err := e.Sandbox.Engine.Stat(ctx, id, pathOf(path))
	return admin.FileStat{Name: seen.Name, Mode: seen.Mode, LinkTarget: seen.LinkTarget}, err
}

// Read is a file of a container, or a folder with all below it, as a tar stream.
func (i *Inside) Read(ctx context.Context, uid types.UID, name, path string) (io.ReadCloser, error) {
	e, id, err := i.existing(uid, name)
	if err != nil {
		return nil, err
	}
	return e.Sandbox.Engine.Archive(ctx, id, pathOf(path))
}

// Write puts the files of a tar stream into a folder of a container. They are those of the
// container's user. With an error it returns when a Read of files has.
func (i *Inside) Write(ctx context.Context, uid types.UID, name, path string, files io.Reader) error {
	e, id, err := i.existing(uid, name)
	if err != nil {
		return err
	}
	owner, err := ownerOf(ctx, e, id)
	if err != nil {
		return err
	}
	reader, writer := io.Pipe()
	var giving sync.WaitGroup
	defer giving.Wait()
	giving.Go(func() { _ = writer.CloseWithError(owner.give(writer, files)) }) // never fails
	err = e.Sandbox.Engine.Unpack(ctx, id, pathOf(path), reader)
	_ = reader.Close() // the rest is not wanted
	return err
}

// owner of the files of a container.
type owner struct{ uid, gid int }

// mostAccounts is what is read of the accounts of an image, in bytes.
const mostAccounts = 1 << 20

// ownerOf is the user of a container.
func ownerOf(ctx context.Context, e pods.Entry, id string) (owner, error) {
	seen, err := e.Sandbox.Engine.Inspect(ctx, id)
	if err != nil {
		return owner{}, err
	}
	var texts [2][]byte
	for i, name := range []string{"/etc/passwd", "/etc/group"} {
		texts[i], err = engine.ReadFile(ctx, e.Sandbox.Engine, id, name, mostAccounts)
		if err != nil && !errdefs.IsNotFound(err) && !errors.Is(err, io.EOF) {
			return owner{}, err
		}
	}
	accounts, err := podspec.ParseAccounts(texts[0], texts[1])
	if err != nil {
		return owner{}, err
	}
	var out owner
	out.uid, out.gid = accounts.Identity(seen.User)
	return out, nil
}

// give copies a tar stream and makes its files those of the owner.
func (o owner) give(to io.Writer, from io.Reader) error {
	in, out := tar.NewReader(from), tar.NewWriter(to)
	for {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			return out.Close()
		}
		if err != nil {
			return fmt.Errorf("read the files to write: %w: %w", err, errdefs.ErrInvalidArgument)
		}
		header.Uid, header.Gid, header.Uname, header.Gname = o.uid, o.gid, "", ""
		header.Format = tar.FormatUnknown
		if err := out.WriteHeader(header); err != nil {
			return err
		}
		if _, err := io.Copy(out, in); err != nil { //nolint:gosec // nothing is unpacked: it is passed on
			return err
		}
	}
}
