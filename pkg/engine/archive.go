package engine

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/docker/docker/api/types/container"
)

// PathStat describes a file of a container.
type PathStat struct {
	Name string
	Mode os.FileMode
	// LinkTarget is where a symbolic link leads to, inside the container.
	LinkTarget string
}

// Stat describes a file of a container; a link at its end is not followed. ErrNotFound if
// there is none.
func (c containerAPI) Stat(ctx context.Context, id, path string) (PathStat, error) {
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	seen, err := c.sdk(ctx).ContainerStatPath(ctx, id, path)
	if err != nil {
		return PathStat{}, fmt.Errorf("look at %s of a container: %w", path, classify(ctx, err))
	}
	return PathStat{Name: seen.Name, Mode: seen.Mode, LinkTarget: seen.LinkTarget}, nil
}

// Archive is a file of a container, or a folder with all below it, as a tar stream, which
// the caller closes. The names in it begin with the last part of path.
func (c containerAPI) Archive(ctx context.Context, id, path string) (io.ReadCloser, error) {
	ctx, silence, end := listen(ctx, c.limit)
	stream, _, err := c.sdk(ctx).CopyFromContainer(ctx, id, path)
	if err != nil {
		defer end()
		return nil, fmt.Errorf("read %s of a container: %w", path, classify(ctx, err))
	}
	silence.rest()
	return archive{owed{stream, silence}, stream, end}, nil
}

// archive ends its call when it is closed.
type archive struct {
	io.Reader
	stream io.Closer
	end    context.CancelFunc
}

// Close ends the transfer.
func (a archive) Close() error {
	defer a.end()
	return a.stream.Close()
}

// Unpack puts the files of a tar stream into a folder of a container that exists. A folder
// does not replace a file, nor a file a folder.
func (c containerAPI) Unpack(ctx context.Context, id, folder string, files io.Reader) error {
	// The stream comes from the caller, who may pause.
	if err := c.sdk(ctx).CopyToContainer(ctx, id, folder, files, container.CopyToContainerOptions{}); err != nil {
		return fmt.Errorf("write into %s of a container: %w", folder, classify(ctx, err))
	}
	return nil
}
