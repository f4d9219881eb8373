package mounts

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// emptyPath has empty folders: an overlay without an upper folder needs two lower ones.
const emptyPath = "/run/docker-sd/empty"

// MountImage has a volume show the layers of an image, unless it shows one already. The
// layers are those of the engine's store, so nothing is copied.
func MountImage(image initapi.Image) error {
	if !isName(image.Volume) {
		return &initapi.Error{Kind: initapi.KindInvalid, Message: "the volume has no name"}
	}
	target := filepath.Join(initapi.ImagesPath, image.Volume)
	if there, err := isMounted(target, "overlay"); err != nil || there {
		return err
	}
	if !image.Mount {
		return &initapi.Error{Kind: initapi.KindMissing, Message: "is not mounted yet"}
	}
	store := filepath.Join(initapi.DataPath, "overlay2")
	lower, err := lowerFolders(store, image.Layers)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(target, 0o755); err != nil {
		return err
	}
	if err := mountFrom(store, target, "lowerdir="+strings.Join(lower, ":")); err != nil {
		return fmt.Errorf("mount the %d layers of the image: %w", len(image.Layers), err)
	}
	return nil
}

// lowerFolders names the files of layers relative to the engine's store. It takes the
// engine's short names: the options of a mount have 4096 bytes, and an image may have more
// than a hundred layers.
func lowerFolders(store string, layers []string) ([]string, error) {
	var out []string
	for _, layer := range layers {
		if !isName(layer) {
			return nil, &initapi.Error{Kind: initapi.KindInvalid, Message: "a layer of the image has no name"}
		}
		link, err := os.ReadFile(filepath.Join(store, layer, "link"))
		if err != nil {
			return nil, fmt.Errorf("find a layer of the image: %w", err)
		}
		name := strings.TrimSpace(string(link))
		if !isName(name) || strings.ContainsAny(name, `:,\`) {
			return nil, fmt.Errorf("the short name %q of a layer is none", name)
		}
		out = append(out, "l/"+name)
	}
	for i := 0; i == 0 || len(out) < 2; i++ {
		empty := fmt.Sprintf("%s/%d", emptyPath, i)
		if err := os.MkdirAll(empty, 0o755); err != nil {
			return nil, err
		}
		out = append(out, empty)
	}
	return out, nil
}

// mountFrom mounts an overlay whose options are relative to a folder. A working folder is
// a process's, so a thread gets one of its own, and ends with it.
func mountFrom(dir, target, options string) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: Go ends the thread with the goroutine
		err := unix.Unshare(unix.CLONE_FS)
		if err == nil {
			err = unix.Chdir(dir)
		}
		if err == nil {
			err = unix.Mount("overlay", target, "overlay", unix.MS_RDONLY, options)
		}
		result <- err
	}()
	err := <-result
	if errors.Is(err, unix.EBUSY) {
		return fmt.Errorf("its place is in use: %w", err)
	}
	return err
}
