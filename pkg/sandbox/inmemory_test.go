package sandbox_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine/enginetest"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox/sandboxtest"
)

// TestStoreOverASocket: images come once, are listed, and go.
func TestStoreOverASocket(t *testing.T) {
	host := sandboxtest.Start(t)
	host.AddImage(enginetest.Image{Tags: []string{"sandbox:1"}, Cmd: []string{"dockerd"}})
	client, err := engine.Connect(host.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	if _, err := client.Info(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Its socket is below it, whose path must be short.
	dir, err := os.MkdirTemp("", "store")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	image := host.AddImage(enginetest.Image{Tags: []string{"app:1"}})
	config := sandbox.Config{Instance: "test", Dir: filepath.Join(dir, "s"), Image: "sandbox:1", Init: "/init", BootTimeout: enginetest.Patience,
		StoreVolume: sandbox.StoreVolumeName("test")}
	store, err := sandbox.NewImageStore(config, filepath.Join(dir, "i"), client)
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	copies := 0
	load := func() error {
		return store.Load(t.Context(), image.ID, func(ctx context.Context, to *engine.Client) (string, error) {
			copies++
			return client.CopyImage(ctx, to, "app:1")
		})
	}
	if err := errors.Join(load(), load()); err != nil || copies != 1 {
		t.Fatalf("after %d copies: %v", copies, err)
	}
	if listed, err := store.List(t.Context()); err != nil || len(listed) != 1 || listed[image.ID] == "" {
		t.Errorf("List() = %v, %v", listed, err)
	}
	if err := errors.Join(store.Drop(t.Context(), image.ID), store.Drop(t.Context(), image.ID)); err != nil {
		t.Error(err)
	}
	if there, err := store.Has(t.Context(), image.ID); there || err != nil {
		t.Errorf("Has() after its drop = %t, %v", there, err)
	}
}
