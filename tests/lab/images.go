package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"github.com/containerd/errdefs"
	"golang.org/x/sync/errgroup"

	"github.com/intertwin-eu/interlink-docker-plugin/tests/lab/rootfs"
)

const (
	// hashLabel tells from which content an image was made.
	hashLabel = "docker-sd.lab.hash"
	repoBase  = "docker-sd-test/"
	pathEnv   = "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
)

// image is a test image as it should be.
type image struct {
	repo, tag string
	tree      *rootfs.Tree
	// changes are Dockerfile instructions.
	changes []string
	hash    string
}

func (i image) name() string {
	return i.repo + ":" + i.tag
}

// imageSet is the test images; a sandbox without tree is pulled.
type imageSet struct {
	busybox, bash, entry, sandbox image
}

// buildImages describes the images from this machine's programs and hashes them.
// Without localSandbox the sandbox is the public docker:dind. The programs in it
// are looked for in dirs first.
func buildImages(ctx context.Context, localSandbox bool, dirs []string) (imageSet, error) {
	busybox, err := findProgram("busybox")
	if err != nil {
		return imageSet{}, err
	}
	base, err := rootfs.Busybox(ctx, busybox)
	if err != nil {
		return imageSet{}, err
	}
	bash, err := bashTree(ctx, base)
	if err != nil {
		return imageSet{}, err
	}
	set := imageSet{
		busybox: image{repo: repoBase + "busybox", tag: "1.36", tree: base, changes: []string{pathEnv, `CMD ["sh"]`}},
		bash:    image{repo: repoBase + "bash", tag: "dev", tree: bash, changes: []string{pathEnv, `CMD ["bash"]`}},
		entry: image{repo: repoBase + "entry", tag: "dev", tree: base, changes: []string{
			pathEnv, "ENV IMAGE_VAR=from-image", "WORKDIR /srv", `ENTRYPOINT ["/bin/echo","entry"]`, `CMD ["cmd"]`,
		}},
		sandbox: image{repo: "docker", tag: "dind"},
	}
	if localSandbox {
		tree, err := sandboxTree(ctx, base, dirs)
		if err != nil {
			return imageSet{}, err
		}
		set.sandbox = image{repo: repoBase + "sandbox", tag: "dev", tree: tree, changes: []string{
			pathEnv, "VOLUME /var/lib/docker", "LABEL docker-sd.lab.role=sandbox", `CMD ["dockerd"]`,
		}}
	}
	return set, set.hashAll()
}

// hashAll fills in the hashes, in parallel for the sandbox's sake.
func (s *imageSet) hashAll() error {
	var group errgroup.Group
	for _, i := range []*image{&s.sandbox, &s.busybox, &s.bash, &s.entry} {
		if i.tree == nil {
			continue
		}
		group.Go(func() error {
			hash, err := i.tree.Hash(i.changes...)
			i.hash = hash
			return err
		})
	}
	return group.Wait()
}

func bashTree(ctx context.Context, base *rootfs.Tree) (*rootfs.Tree, error) {
	bash, err := findProgram("bash")
	if err != nil {
		return nil, err
	}
	tree := base.Clone()
	return tree, tree.AddPrograms(ctx, map[string]string{"bin/bash": bash})
}

// sandboxTree is a root file system that dockerd runs in.
func sandboxTree(ctx context.Context, base *rootfs.Tree, dirs []string) (*rootfs.Tree, error) {
	programs := make(map[string]string)
	for _, name := range append(sandboxPrograms(), sandboxExtras()...) {
		source, err := findFirst(dirs, name)
		if err == nil {
			programs["usr/local/bin/"+name] = source
		} else if !missingIsFine(name) {
			return nil, err
		}
	}
	xtables := programs["usr/local/bin/xtables-nft-multi"]
	modules, err := iptablesModules(ctx, xtables)
	if err != nil {
		return nil, err
	}
	for _, module := range modules {
		programs[module] = module
	}
	tree := base.Clone()
	for _, family := range []string{"iptables", "ip6tables"} {
		for _, suffix := range []string{"", "-save", "-restore"} {
			tree.Link("usr/local/bin/"+family+suffix, "xtables-nft-multi")
		}
	}
	const certificates = "/etc/ssl/certs/ca-certificates.crt"
	if err := tree.Copy(certificates, certificates); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	tree.Dir("var/lib/docker", 0o710, 0)
	return tree, tree.AddPrograms(ctx, programs)
}

func missingIsFine(name string) bool {
	for _, extra := range sandboxExtras() {
		if name == extra {
			return true
		}
	}
	return false
}

// iptablesModules returns the matches and targets that iptables loads by itself,
// from the folder "xtables" beside its library.
func iptablesModules(ctx context.Context, xtables string) ([]string, error) {
	libraries, err := rootfs.Libraries(ctx, []string{xtables})
	if err != nil {
		return nil, err
	}
	for _, library := range libraries {
		if match, _ := path.Match("libxtables.so.*", path.Base(library)); match {
			file, err := filepath.EvalSymlinks(library)
			if err != nil {
				return nil, fmt.Errorf("find the modules of iptables: %w", err)
			}
			return filepath.Glob(filepath.Join(filepath.Dir(file), "xtables", "lib[ix][pt]*.so"))
		}
	}
	return nil, nil
}

// ensure makes the image unless the engine has it with this content. An image
// that is pulled is not asked for again.
func (c *client) ensure(ctx context.Context, want image) (made bool, err error) {
	have, err := c.image(ctx, want.name())
	known := err == nil
	if err != nil && !errdefs.IsNotFound(err) {
		return false, fmt.Errorf("look for the image %s: %w", want.name(), err)
	}
	if known && (want.tree == nil || have.Config.Labels[hashLabel] == want.hash) {
		return false, nil
	}
	if want.tree == nil {
		if err := c.pull(ctx, want.repo, want.tag); err != nil {
			return false, fmt.Errorf("dockerd is not installed here for the sandbox image, and pulling %s failed: %w", want.name(), err)
		}
		return true, nil
	}
	if err := c.importTree(ctx, want); err != nil {
		return false, fmt.Errorf("make the image %s: %w", want.name(), err)
	}
	if known {
		// The old content would stay without a name in a kept folder. A
		// container may hold it, then it goes another time or never.
		_ = c.removeImage(ctx, have.ID)
	}
	return true, nil
}

func (c *client) importTree(ctx context.Context, want image) error {
	group, ctx := errgroup.WithContext(ctx)
	reader, writer := io.Pipe()
	group.Go(func() error {
		err := want.tree.WriteTar(writer)
		// The reader sees the error too; it never fails itself.
		_ = writer.CloseWithError(err)
		return err
	})
	group.Go(func() error {
		changes := append([]string{"LABEL " + hashLabel + "=" + want.hash}, want.changes...)
		err := c.importImage(ctx, want.repo, want.tag, changes, reader)
		_ = reader.CloseWithError(errors.Join(err, os.ErrClosed))
		return err
	})
	return group.Wait()
}
