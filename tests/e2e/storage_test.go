//go:build e2e

package e2e_test

import (
	"path/filepath"
	"testing"
)

// storageTests are run by TestStorage, some at a time, on one daemon.
var storageTests = []struct {
	name string
	run  func(*testing.T, *daemon)
}{
	{"image", storageImages},
	{"image of many layers", storageManyLayers},
	{"image is not copied", storageImageCopiesNothing},
	{"image that cannot be had", storageImageMissing},
	{"image mistakes", storageImageMistakes},
	{"image escape", storageImageEscape},
	{"claims", storageClaims},
	{"claims with fsGroup", storageClaimGroup},
	{"bound claims", storageBound},
	{"bound claims that are refused", storageBoundRefused},
	{"claim escape", storageClaimEscape},
	{"nfs by default", storageNFSRefused},
	{"ephemeral", storageEphemeral},
	{"ephemeral eviction", storageEphemeralEviction},
	{"nfs inside a sandbox", storageNFSInside},
}

// TestStorage runs pods with volumes whose content is not of the pod's own folder.
func TestStorage(t *testing.T) {
	t.Parallel()
	d := prepareDaemon(t, map[string]any{"AVAILABLEDINDS": 2})
	d.settings["PersistentVolumeRoot"] = d.claims()
	if err := d.writeConfig(); err != nil {
		t.Fatal(err)
	}
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	t.Run("together", func(t *testing.T) {
		for _, test := range storageTests {
			t.Run(test.name, func(t *testing.T) {
				t.Parallel()
				test.run(t, d)
			})
		}
	})
	t.Run("image over a restart", func(t *testing.T) { storageImageTakenOver(t, d) })
	t.Run("claims over a restart", func(t *testing.T) { storageClaimsTakenOver(t, d) })
}

// claims is the folder of the claims.
func (d *daemon) claims() string { return filepath.Join(d.dir, "claims") }
