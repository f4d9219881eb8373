package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/admin"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podfiles"
)

// newCopy makes the command cp.
func newCopy(o *Options) *cobra.Command {
	var container *string
	cmd := &cobra.Command{
		Use: "cp NAMESPACE/POD|UID[:CONTAINER]:PATH DESTINATION | SOURCE NAMESPACE/POD|UID[:CONTAINER]:PATH", Short: "Copy files from or to a container of a pod",
		Long: "cp copies a file, or a folder with all below it, between this host and a container, which need\n" +
			"not run and needs no tar. Into a folder that exists it is copied under its own name; /. at the\n" +
			"end of a folder is what is in it. In the container, files are those of the container's user.\n" +
			"Here they are the caller's; links that lead out of what is copied, and devices, are left out.\n" +
			"A file of this host whose name has a colon is written with a path, as ./a:b.",
		Args: cobra.ExactArgs(2),
		ValidArgsFunction: func(cmd *cobra.Command, _ []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			var out []cobra.Completion
			for _, p := range o.list(cmd.Context()) {
				out = append(out, p.Namespace+"/"+p.Name+":")
			}
			return out, cobra.ShellCompDirectiveNoSpace
		},
		RunE: func(cmd *cobra.Command, args []string) error { return o.copy(cmd, args[0], args[1], *container) },
	}
	container = containerFlag(o, cmd)
	return cmd
}

// place is a file of a container, or of this host if the pod is "".
type place struct{ pod, container, path string }

// parsePlace reads POD[:CONTAINER]:PATH, or a path of this host.
func parsePlace(text string) place {
	pod, rest, found := strings.Cut(text, ":")
	if !found || pod == "" || strings.HasPrefix(text, "/") || strings.HasPrefix(text, ".") {
		return place{path: text}
	}
	container, below, both := strings.Cut(rest, ":")
	if both && len(validation.IsDNS1123Label(container)) == 0 {
		return place{pod: pod, container: container, path: below}
	}
	return place{pod: pod, path: rest}
}

// copy finds the pod by its name and copies from or to it.
func (o *Options) copy(cmd *cobra.Command, from, to, container string) error {
	source, target := parsePlace(from), parsePlace(to)
	remote := &source
	if source.pod == "" {
		remote = &target
	}
	switch {
	case source.pod == "" && target.pod == "":
		return fmt.Errorf("neither %q nor %q is in a pod: one of them is POD:PATH: %w", from, to, errdefs.ErrInvalidArgument)
	case source.pod != "" && target.pod != "":
		return fmt.Errorf("both %q and %q are in pods: one of them is a path of this host: %w", from, to, errdefs.ErrInvalidArgument)
	case container != "" && remote.container != "" && container != remote.container:
		return fmt.Errorf("--container is %q, and %q is named as well: %w", container, remote.container, errdefs.ErrInvalidArgument)
	case source.path == "" || target.path == "":
		return fmt.Errorf("a path is missing: %q to %q: %w", from, to, errdefs.ErrInvalidArgument)
	case container != "":
		remote.container = container
	}
	client, pod, err := o.target(cmd.Context(), remote.pod)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := checkContainer(pod, remote.container); err != nil {
		return err
	}
	c := &copying{client: client, pod: pod.UID, container: remote.container,
		told: func(text string) {
			fmt.Fprintln(cmd.ErrOrStderr(), strings.Join(Plain([]string{text}), ""))
		}}
	if source.pod != "" {
		return c.fetch(cmd.Context(), source.path, target.path)
	}
	return c.put(cmd.Context(), source.path, target.path)
}

// copying is one call of the command cp.
type copying struct {
	client    *admin.Client
	pod       types.UID
	container string
	// told is called with a sentence about each file that is left out.
	told func(string)
}

// mostLinks that lead to a file of a container.
const mostLinks = 10

// stat describes what a path of the container leads to, and says where that is.
func (c *copying) stat(ctx context.Context, name string) (admin.FileStat, string, error) {
	for range mostLinks {
		seen, err := c.client.Stat(ctx, c.pod, c.container, name)
		if err != nil || seen.Mode&fs.ModeSymlink == 0 {
			return seen, name, err
		}
		name = seen.LinkTarget
	}
	return admin.FileStat{}, "", fmt.Errorf("%s of the container is behind too many links: %w", name, errdefs.ErrNotFound)
}

// contents says that what is in a folder is meant, and not the folder.
func contents(name string) bool {
	return strings.HasSuffix(name, "/.") || name == "." || path.Clean("/"+name) == "/"
}

// fetch copies from the container.
func (c *copying) fetch(ctx context.Context, from, to string) error {
	seen, found, err := c.stat(ctx, from)
	if err != nil {
		return missing(err, "the container", from)
	}
	folder, name := filepath.Dir(filepath.Clean(to)), filepath.Base(filepath.Clean(to))
	info, err := os.Stat(to)
	if err == nil && !info.IsDir() {
		if !info.Mode().IsRegular() {
			return fmt.Errorf("%s is neither a file nor a folder: %w", to, fs.ErrExist)
		}
		if to, err = filepath.EvalSymlinks(to); err != nil { // the caller's own link
			return err
		}
		folder, name = filepath.Dir(to), filepath.Base(to)
	}
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return err
	case err == nil && info.IsDir() && contents(from):
		folder, name = to, "."
	case err == nil && info.IsDir():
		folder, name = to, path.Base(path.Clean("/"+from))
	case err == nil && seen.Mode.IsDir():
		return fmt.Errorf("%s is a file and cannot become a folder: %w", to, fs.ErrExist)
	case err != nil && !seen.Mode.IsDir() && strings.HasSuffix(to, "/"):
		return fmt.Errorf("there is no folder %s: %w", to, fs.ErrNotExist)
	}
	root, err := os.OpenRoot(folder)
	if err != nil {
		return err
	}
	defer root.Close()
	files, err := c.client.ReadFiles(ctx, c.pod, c.container, found)
	if err != nil {
		return err
	}
	defer files.Close()
	return podfiles.Extract(root, name, files, c.told)
}

// missing says in which place there is no such file.
func missing(err error, where, name string) error {
	if errdefs.IsNotFound(err) {
		return fmt.Errorf("%s has no %s: %w", where, name, errdefs.ErrNotFound)
	}
	return err
}

// put copies to the container.
func (c *copying) put(ctx context.Context, from, to string) error {
	info, err := os.Stat(from)
	if err != nil {
		return err
	}
	folder, name := path.Dir(path.Clean("/"+to)), path.Base(path.Clean("/"+to))
	seen, found, err := c.stat(ctx, to)
	switch {
	case err != nil && !errdefs.IsNotFound(err):
		return err
	case err == nil && seen.Mode.IsDir() && (strings.HasSuffix(from, "/.") || from == "."):
		folder, name = found, "."
	case err == nil && seen.Mode.IsDir():
		absolute, err := filepath.Abs(from)
		if err != nil {
			return err
		}
		folder, name = found, filepath.Base(absolute)
	case err == nil && info.IsDir():
		return fmt.Errorf("%s of the container is a file and cannot become a folder: %w", to, errdefs.ErrAlreadyExists)
	case err == nil:
		folder, name = path.Dir(path.Clean("/"+found)), path.Base(found)
	case !info.IsDir() && strings.HasSuffix(to, "/"):
		return fmt.Errorf("the container has no folder %s: %w", to, errdefs.ErrNotFound)
	}
	reader, writer := io.Pipe()
	var packing sync.WaitGroup
	defer packing.Wait()
	defer reader.Close()
	var packed error
	packing.Go(func() {
		packed = podfiles.Pack(writer, from, name, c.told)
		_ = writer.CloseWithError(packed) // never fails
	})
	err = c.client.WriteFiles(ctx, c.pod, c.container, folder, reader)
	reader.Close()
	packing.Wait()
	if packed != nil && !errors.Is(packed, io.ErrClosedPipe) {
		return packed
	}
	return missing(err, "the container", folder)
}
