// Package persistent keeps folders for persistent volume claims that are bound to no volume
// which this node could mount: one for each claim, below a folder of the operator.
package persistent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/tree"
)

// removedFolder holds, below the root, what is being removed. No namespace has this name.
const removedFolder = ".removed"

// Path of a claim's folder below the root, from names that nobody has checked.
func Path(namespace, claim string) (string, error) {
	if errs := validation.IsDNS1123Label(namespace); len(errs) > 0 {
		return "", errors.New("the namespace is not a DNS label")
	}
	if errs := validation.IsDNS1123Subdomain(claim); len(errs) > 0 {
		return "", errors.New("the name of the claim is not a DNS name: lower-case letters, digits, hyphens and dots between them")
	}
	return path.Join(namespace, claim), nil
}

// Make makes the folder of a claim below root unless it is there. A new one is for every
// user; with a group it is that group's, which files in it inherit. What is in the folder
// stays as it is. A link in the place of a folder is not followed.
func Make(root, folder string, gid *int64) error {
	top, err := os.OpenRoot(root)
	if err != nil {
		return fmt.Errorf("open the folder of claims: %w", err)
	}
	defer top.Close()
	namespace, _, _ := strings.Cut(folder, "/")
	if _, err := makeFolder(top, namespace, 0o700); err != nil {
		return err
	}
	info, err := makeFolder(top, folder, 0o777)
	if err != nil || gid == nil {
		return err
	}
	if err := top.Lchown(folder, -1, int(*gid)); err != nil {
		return fmt.Errorf("give the claim's folder the group %d: %w", *gid, err)
	}
	return top.Chmod(folder, info.Mode().Perm()|0o770|info.Mode()&os.ModeSticky|os.ModeSetgid)
}

// makeFolder makes a folder with a mode that the umask does not reduce.
func makeFolder(top *os.Root, name string, mode os.FileMode) (fs.FileInfo, error) {
	err := top.Mkdir(name, 0o700)
	if err == nil {
		err = top.Chmod(name, mode)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, fmt.Errorf("make the claim's folder: %w", err)
	}
	info, err := top.Lstat(name)
	if err != nil {
		return nil, fmt.Errorf("make the claim's folder: %w", err)
	}
	if !info.IsDir() {
		return nil, fmt.Errorf("make the claim's folder: %s is there and is not a folder", path.Base(name))
	}
	return info, nil
}

// Keeper removes the folder of a claim with the last pod that mounts it, and keeps a
// folder from being made while it is removed. The zero value removes nothing.
type Keeper struct {
	// Root is where the folders are; "" means that none is ever removed.
	Root string

	mu sync.Mutex
	// users are the pods of each folder, by their UIDs.
	users map[string]map[string]bool
	// leaving are the folders that are being taken from their place.
	leaving map[string]chan struct{}
}

// Use notes that a pod mounts the folders.
func (k *Keeper) Use(pod string, folders []string) {
	if k.Root == "" {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.users == nil {
		k.users, k.leaving = map[string]map[string]bool{}, map[string]chan struct{}{}
	}
	for _, folder := range folders {
		if k.users[folder] == nil {
			k.users[folder] = map[string]bool{}
		}
		k.users[folder][pod] = true
	}
}

// Forget is Release for a pod that never was: nothing is removed.
func (k *Keeper) Forget(pod string, folders []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, folder := range folders {
		k.drop(folder, pod)
	}
}

func (k *Keeper) drop(folder, pod string) {
	delete(k.users[folder], pod)
	if len(k.users[folder]) == 0 {
		delete(k.users, folder)
	}
}

// Await returns when none of the folders is being removed.
func (k *Keeper) Await(ctx context.Context, folders []string) error {
	for _, folder := range folders {
		k.mu.Lock()
		leaving := k.leaving[folder]
		k.mu.Unlock()
		if leaving == nil {
			continue
		}
		select {
		case <-leaving:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Release removes the folders that no other pod uses. It may be called again after an
// error; what is gone is success.
func (k *Keeper) Release(ctx context.Context, pod string, folders []string) error {
	if k.Root == "" {
		return nil
	}
	var problems []error
	for _, folder := range folders {
		if err := k.release(ctx, pod, folder); err != nil {
			problems = append(problems, fmt.Errorf("remove the folder of claim %s: %w", folder, err))
		}
	}
	return errors.Join(problems...)
}

func (k *Keeper) release(ctx context.Context, pod, folder string) error {
	removed := filepath.Join(removedFolder, strings.ReplaceAll(folder, "/", "_")+"_"+pod)
	// What an earlier try has left.
	if err := tree.Remove(ctx, filepath.Join(k.Root, removed)); err != nil {
		return err
	}
	if done := k.leave(pod, folder); done != nil {
		err := k.moveAway(folder, removed)
		done()
		if err != nil {
			return err
		}
	}
	return tree.Remove(ctx, filepath.Join(k.Root, removed))
}

// leave takes a pod from the users of a folder. Where it was the last one the folder
// leaves, until the function that it returns is called.
func (k *Keeper) leave(pod, folder string) (done func()) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.drop(folder, pod)
	if k.users[folder] != nil || k.leaving[folder] != nil {
		return nil
	}
	gone := make(chan struct{})
	if k.leaving == nil {
		k.leaving = map[string]chan struct{}{}
	}
	k.leaving[folder] = gone
	return func() {
		k.mu.Lock()
		defer k.mu.Unlock()
		delete(k.leaving, folder)
		close(gone)
	}
}

// moveAway takes a folder from its place, so that it is not met half removed.
func (k *Keeper) moveAway(folder, removed string) error {
	top, err := os.OpenRoot(k.Root)
	if err != nil {
		return err
	}
	defer top.Close()
	info, err := top.Lstat(folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && !info.IsDir() {
		err = errors.New("it is not a folder")
	}
	if err == nil {
		err = top.Mkdir(removedFolder, 0o700)
	}
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return top.Rename(folder, removed)
}
