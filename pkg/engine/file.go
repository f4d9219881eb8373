package engine

import (
	"archive/tar"
	"context"
	"fmt"
	"io"
	"os"

	"github.com/containerd/errdefs"
)

// maxFileLinks bounds the links that lead to a file.
const maxFileLinks = 10

// ReadFile returns the first limit bytes of a file of a container, which need not have been
// started. Links are followed inside the container. ErrNotFound if it has no such file.
func ReadFile(ctx context.Context, c *Client, id, name string, limit int64) ([]byte, error) {
	ctx, cancel := c.patient(ctx)
	defer cancel()
	for range maxFileLinks {
		stream, stat, err := c.sdk(ctx).CopyFromContainer(ctx, id, name)
		if err != nil {
			return nil, fmt.Errorf("read %s of a container: %w", name, classify(ctx, err))
		}
		if stat.Mode&os.ModeSymlink != 0 {
			stream.Close()
			name = stat.LinkTarget
			continue
		}
		text, err := firstOf(stream, limit)
		stream.Close()
		if err != nil {
			return nil, fmt.Errorf("read %s of a container: %w", name, classify(ctx, err))
		}
		return text, nil
	}
	return nil, fmt.Errorf("%s of a container is behind too many links: %w", name, errdefs.ErrNotFound)
}

// firstOf returns the first bytes of the first file of an archive; a folder has none.
func firstOf(archive io.Reader, limit int64) ([]byte, error) {
	r := tar.NewReader(archive)
	if _, err := r.Next(); err != nil {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(r, limit))
}
