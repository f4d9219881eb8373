package main

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"time"

	"golang.org/x/sys/unix"
)

// measureArrived takes starts from an image that came to the host after the
// pool was warmed.
func (b *bench) measureArrived(ctx context.Context) error {
	layer, err := b.export(ctx)
	if err != nil {
		return err
	}
	return b.withDaemon(ctx, usual(3), func(d *daemon) error {
		if err := d.arrived(ctx, "create_running_image_arrived", layer, 1<<16, b.times(4, 8)); err != nil {
			return err
		}
		if !b.big {
			return nil
		}
		return d.arrived(ctx, "create_running_image_1gb_arrived", layer, largeImage, b.times(1, 3))
	})
}

func (d *daemon) arrived(ctx context.Context, name string, layer []byte, size int64, n int) error {
	var starts []time.Duration
	for i := range n {
		if err := d.awaitSettled(ctx); err != nil {
			return err
		}
		repo, tag := "docker-sd-bench/arrived", fmt.Sprintf("%d-%d-%d", time.Now().Unix(), size, i)
		if err := d.b.importGrown(ctx, repo, tag, layer, size); err != nil {
			return err
		}
		s, err := d.start(ctx, d.b.newPod(repo+":"+tag, ""))
		if err == nil {
			starts = append(starts, s.started.Sub(s.sent))
			err = d.remove(ctx, s)
		}
		if err := errors.Join(err, d.b.removeImage(ctx, repo+":"+tag)); err != nil {
			return err
		}
	}
	d.b.report.addTimes(name, starts, base)
	return nil
}

// largeImage is the size of the large image in bytes.
const largeImage = 1 << 30

// measureLarge takes warm starts from a large image that the host had before
// docker-sd came, because a start shall not take longer with the image's size.
func (b *bench) measureLarge(ctx context.Context) error {
	layer, err := b.export(ctx)
	if err != nil {
		return err
	}
	repo, tag := "docker-sd-bench/large", b.instance
	if err := b.importGrown(ctx, repo, tag, layer, largeImage); err != nil {
		return err
	}
	// An image that the host has had for long does not wait for the disk any more.
	unix.Sync()
	err = b.withDaemon(ctx, usual(3), func(d *daemon) error {
		if err := d.awaitSettled(ctx); err != nil {
			return err
		}
		return d.startsBeside(ctx, "create_running_warm_1gb", repo+":"+tag, b.times(10, 60))
	})
	return errors.Join(err, b.removeImage(ctx, repo+":"+tag))
}

// export returns the files of the small image as a tar.
func (b *bench) export(ctx context.Context) ([]byte, error) {
	var created struct{ ID string }
	err := b.engine.call(ctx, http.MethodPost, "/containers/create", plain{Image: b.image, Cmd: []string{"true"},
		Labels: map[string]string{plainLabel: b.instance}}, &created)
	if err != nil {
		return nil, err
	}
	answer, err := b.engine.send(ctx, http.MethodGet, "/containers/"+created.ID+"/export", "", nil)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	layer, err := io.ReadAll(answer.Body)
	return layer, errors.Join(err, b.removePlain(ctx, created.ID))
}

// importGrown imports the files of the small image with one more of random data,
// which no store has yet.
func (b *bench) importGrown(ctx context.Context, repo, tag string, layer []byte, size int64) error {
	reader, writer := io.Pipe()
	go func() { _ = writer.CloseWithError(grow(writer, layer, size)) }()
	err := b.importImage(ctx, repo, tag, reader)
	return errors.Join(err, reader.Close())
}

// grow copies a tar and adds a file of random data to it.
func grow(w io.Writer, layer []byte, size int64) error {
	in, out := tar.NewReader(bytes.NewReader(layer)), tar.NewWriter(w)
	for {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read the small image: %w", err)
		}
		if err := out.WriteHeader(header); err != nil {
			return err
		}
		if _, err := io.Copy(out, in); err != nil {
			return err
		}
	}
	if err := out.WriteHeader(&tar.Header{Name: "random", Mode: 0o644, Size: size, Typeflag: tar.TypeReg}); err != nil {
		return err
	}
	// Data that differs each time, and comes faster than the engine takes it.
	var seed [32]byte
	binary.NativeEndian.PutUint64(seed[:], rand.Uint64())
	if _, err := io.CopyN(out, rand.NewChaCha8(seed), size); err != nil {
		return err
	}
	return out.Close()
}
