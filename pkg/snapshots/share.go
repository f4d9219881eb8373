package snapshots

import (
	"context"
	"fmt"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/images"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
)

// Share opens a Store where the layers that sandboxes share can be the host's own, in
// containerd's image store, and returns how they are shared then. dir is for the Store.
// Everywhere else the Store is nil.
func Share(ctx context.Context, sharing images.Sharing, info engine.Info, instance, dir string) (images.Sharing, *Store) {
	if !sharing.Snapshots {
		return sharing, nil
	}
	store, err := Open(ctx, Config{Instance: instance, Snapshotter: info.StorageDriver, Containerd: info.Containerd,
		Dir: dir, LayersPath: initapi.LayersPath, Name: sandbox.StoredName})
	if err != nil {
		return imported(sharing, err), nil
	}
	return shared(sharing, dir, store.Layers()), store
}

// Look is Share for a caller that only wants to know how layers would be shared.
func Look(ctx context.Context, sharing images.Sharing, info engine.Info) images.Sharing {
	if !sharing.Snapshots {
		return sharing
	}
	d, err := connect(ctx, Config{Snapshotter: info.StorageDriver, Containerd: info.Containerd})
	if err != nil {
		return imported(sharing, err)
	}
	defer d.close()
	return shared(sharing, d.root, d.layers())
}

func shared(sharing images.Sharing, dir, layers string) images.Sharing {
	sharing.Library, sharing.Root, sharing.Layers = false, dir, layers
	sharing.Why = "the host's image layers are shared with sandboxes from containerd's store, read-only"
	return sharing
}

func imported(sharing images.Sharing, err error) images.Sharing {
	sharing.Snapshots = false
	sharing.Why = fmt.Sprintf("images are imported once and shared with sandboxes from there, read-only: %v", err)
	return sharing
}
