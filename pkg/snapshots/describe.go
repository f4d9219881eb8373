package snapshots

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/containerd/containerd/api/services/content/v1"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	// documentLimit bounds the index, the manifest and the configuration of an image.
	documentLimit = 8 << 20
	// nestingLimit bounds indexes in indexes.
	nestingLimit = 3
	// layersLimit is that of an engine with overlay2.
	layersLimit = 125
)

// describe finds out of what an image consists, for this machine's platform, and returns
// its configuration too.
func (d *daemon) describe(ctx context.Context, hostID string) (image, []byte, error) {
	m, err := d.manifest(ctx, hostID, nestingLimit)
	if err != nil {
		return image{}, nil, fmt.Errorf("read the manifest of image %s: %w", hostID, err)
	}
	config, err := d.blob(ctx, m.Config.Digest.String())
	if err != nil {
		return image{}, nil, fmt.Errorf("read the configuration of image %s: %w", hostID, err)
	}
	out := image{Config: m.Config.Digest.String()}
	var parsed ocispec.Image
	if err := json.Unmarshal(config, &parsed); err != nil {
		return image{}, nil, fmt.Errorf("read the configuration of image %s: %w", hostID, err)
	}
	diffs := parsed.RootFS.DiffIDs
	if len(diffs) == 0 || len(diffs) > layersLimit {
		return image{}, nil, fmt.Errorf("image %s has %d layers: only 1 to %d can be shared", hostID, len(diffs), layersLimit)
	}
	// They become names of files, and engines with overlay2 know SHA-256 alone.
	for _, id := range append(slices.Clone(diffs), m.Config.Digest) {
		if err := id.Validate(); err != nil || id.Algorithm() != digest.SHA256 {
			return image{}, nil, fmt.Errorf("image %s has %q where a digest by SHA-256 belongs", hostID, id)
		}
	}
	chains := identity.ChainIDs(slices.Clone(diffs))
	out.Chain = chains[len(chains)-1].String()
	if out.Made, err = d.made(ctx, out.Chain); err != nil {
		return image{}, nil, fmt.Errorf("image %s has not been unpacked: %w", hostID, err)
	}
	numbers, err := d.view(ctx, out.Chain)
	if err != nil {
		return image{}, nil, err
	}
	if len(numbers) != len(diffs) {
		return image{}, nil, fmt.Errorf("image %s has %d layers in %d folders", hostID, len(diffs), len(numbers))
	}
	slices.Reverse(numbers)
	for i, diff := range diffs {
		out.Layers = append(out.Layers, layer{Chain: chains[i].String(), Diff: diff.String(), Snapshot: numbers[i]})
	}
	return out, config, nil
}

// document is an index or a manifest.
type document struct {
	Manifests []ocispec.Descriptor `json:"manifests"`
	Config    ocispec.Descriptor   `json:"config"`
}

// manifest reads the manifest that an image has for this machine's platform.
func (d *daemon) manifest(ctx context.Context, id string, nesting int) (document, error) {
	data, err := d.blob(ctx, id)
	if err != nil {
		return document{}, err
	}
	var found document
	if err := json.Unmarshal(data, &found); err != nil {
		return document{}, fmt.Errorf("read %s: %w", id, err)
	}
	if found.Config.Digest != "" {
		return found, nil
	}
	if nesting == 0 {
		return document{}, errors.New("its indexes are nested too deep")
	}
	err = fmt.Errorf("it has nothing for the platform %s: %w", platforms.DefaultString(), errdefs.ErrNotFound)
	for _, descriptor := range forHere(found.Manifests) {
		var chosen document
		if chosen, err = d.manifest(ctx, descriptor.Digest.String(), nesting-1); err == nil {
			return chosen, nil
		}
	}
	return document{}, err
}

// forHere are the manifests of an index that this machine can run, the best one first. One
// without a platform may be for any.
func forHere(all []ocispec.Descriptor) []ocispec.Descriptor {
	here := platforms.Default()
	var out, others []ocispec.Descriptor
	for _, descriptor := range all {
		switch {
		case descriptor.Platform == nil:
			others = append(others, descriptor)
		case here.Match(*descriptor.Platform):
			out = append(out, descriptor)
		}
	}
	slices.SortStableFunc(out, func(a, b ocispec.Descriptor) int {
		switch {
		case here.Less(*a.Platform, *b.Platform):
			return -1
		case here.Less(*b.Platform, *a.Platform):
			return 1
		}
		return 0
	})
	return append(out, others...)
}

// blob reads a document by its digest, and checks it.
func (d *daemon) blob(ctx context.Context, id string) ([]byte, error) {
	want, err := digest.Parse(id)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", id, err)
	}
	ctx, cancel := d.call(ctx)
	defer cancel()
	stream, err := d.content.Read(ctx, &content.ReadContentRequest{Digest: id})
	if err != nil {
		return nil, errgrpc.ToNative(err)
	}
	var out []byte
	for {
		part, err := stream.Recv()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, errgrpc.ToNative(err)
		}
		if out = append(out, part.Data...); len(out) > documentLimit {
			return nil, fmt.Errorf("%s has more than %d bytes", id, documentLimit)
		}
	}
	if got := want.Algorithm().FromBytes(out); got != want {
		return nil, fmt.Errorf("%s has the digest %s", id, got)
	}
	return out, nil
}
