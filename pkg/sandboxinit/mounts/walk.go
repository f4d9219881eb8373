package mounts

import (
	"errors"
	"fmt"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

const (
	// maxLinks bounds the symbolic links of one walk, as Linux does.
	maxLinks = 40
	// maxSteps bounds the folders of one walk, of which each takes a descriptor.
	maxSteps = 2048
	// maxNames is more than any path has.
	maxNames = unix.PathMax * maxLinks
)

var errTooDeep = &initapi.Error{Kind: initapi.KindInvalid, Message: fmt.Sprintf("has more than %d folders", maxSteps)}

// outside is what a link that leaves its root gets.
func (w *walker) outside() error {
	message := "leads outside the volume"
	if len(w.roots) > 0 {
		message = "leads outside the host paths that this node allows"
	}
	return &initapi.Error{Kind: initapi.KindOutside, Message: message}
}

// walker goes down a path one name at a time. Each name is opened from the descriptor
// of its folder, without following a link; links are read and walked by hand, and ".."
// goes back to the descriptor that it came from. So nothing that is renamed or replaced
// meanwhile can lead it above its root.
type walker struct {
	roots   []initapi.Root
	private []initapi.Identity
	// names of the root that the walk is in.
	names []string
	// fds of the root and of the folders below it, down to where the walk is.
	fds   []int
	parts []string
	// missing is the rest of the path from where nothing is.
	missing []string
	// asRoot says that the folder where the walk began is taken for the root.
	asRoot bool
	// links that were followed. The last afterLinks names of the path are not theirs.
	links, afterLinks int
}

func newWalker(roots []initapi.Root, private []initapi.Identity) (*walker, error) {
	w := &walker{roots: roots, private: private, afterLinks: maxNames}
	return w, w.enter(roots[0])
}

// walkFrom begins at a folder that is open.
func walkFrom(volume opened, private []initapi.Identity) (*walker, error) {
	fd, err := unix.Openat(volume.fd, ".", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return &walker{private: private, names: []string{volume.name}, fds: []int{fd}, afterLinks: maxNames}, nil
}

func (w *walker) close() {
	for _, fd := range w.fds {
		unix.Close(fd)
	}
	w.fds, w.parts = nil, nil
}

func (w *walker) top() int { return w.fds[len(w.fds)-1] }

func (w *walker) push(fd int, part string) {
	w.fds, w.parts = append(w.fds, fd), append(w.parts, part)
}

func (w *walker) pop() {
	unix.Close(w.top())
	w.fds, w.parts = w.fds[:len(w.fds)-1], w.parts[:len(w.parts)-1]
}

// enter begins anew in a root.
func (w *walker) enter(root initapi.Root) error {
	w.close()
	fd, err := openRoot(root)
	switch {
	case errors.Is(err, unix.ENOENT):
		return &initapi.Error{Kind: initapi.KindMissing, Message: "lies below a path that was not on this node when the pod's sandbox was made"}
	case errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENOTDIR):
		return &initapi.Error{Kind: initapi.KindOutside, Message: "lies below a symbolic link inside a host path that pods may use"}
	case err != nil:
		return fmt.Errorf("open %s: %w", root.Path, err)
	}
	w.fds, w.names = []int{fd}, append([]string{root.Path}, root.Names...)
	return nil
}

// openRoot opens a root from its mount point. In between no link is followed: a pod that
// may write there could have made one.
func openRoot(root initapi.Root) (int, error) {
	mount := root.Mount
	if mount == "" {
		mount = root.Path
	}
	fd, err := unix.Open(mount, unix.O_PATH|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	rest, _ := below(mount, root.Path)
	for part := range strings.SplitSeq(rest, "/") {
		if part == "" {
			continue
		}
		next, err := unix.Openat(fd, part, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		unix.Close(fd)
		if err != nil {
			return -1, err
		}
		fd = next
	}
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil || stat.Mode&unix.S_IFMT == unix.S_IFLNK {
		unix.Close(fd)
		return -1, errors.Join(err, unix.ELOOP)
	}
	return fd, nil
}

// walk goes on along a path.
func (w *walker) walk(name string) error {
	pending := strings.Split(name, "/")
	for len(pending) > 0 {
		part := pending[0]
		pending = pending[1:]
		var err error
		switch part {
		case "", ".":
		case "..":
			pending, err = w.up(pending)
		default:
			pending, err = w.down(part, pending)
		}
		if err != nil {
			return err
		}
		if len(w.missing) > 0 {
			return nil
		}
	}
	return nil
}

// up goes back one folder. From a root, it goes to where another one is called.
func (w *walker) up(pending []string) ([]string, error) {
	if len(w.fds) > 1 {
		w.pop()
		return pending, nil
	}
	if w.asRoot {
		return pending, nil
	}
	return w.jump(path.Join(path.Dir(w.names[0]), strings.Join(pending, "/")))
}

// jump goes on at an absolute path, which must lie in one of the roots, or in the
// folder that the walk began at.
func (w *walker) jump(target string) ([]string, error) {
	target = path.Clean(target)
	for _, root := range w.roots {
		for _, name := range append([]string{root.Path}, root.Names...) {
			if rest, ok := below(name, target); ok {
				return strings.Split(rest, "/"), w.enter(root)
			}
		}
	}
	if len(w.roots) == 0 {
		from := w.names[0]
		if w.asRoot {
			from = "/"
		}
		if rest, ok := below(from, target); ok {
			for len(w.fds) > 1 {
				w.pop()
			}
			return strings.Split(rest, "/"), nil
		}
	}
	return nil, w.outside()
}

// down opens a name in the folder where the walk is.
func (w *walker) down(part string, pending []string) ([]string, error) {
	if len(w.fds) >= maxSteps {
		return nil, errTooDeep
	}
	fd, err := unix.Openat(w.top(), part, unix.O_PATH|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	switch {
	case errors.Is(err, unix.ENOENT):
		return nil, w.miss(part, pending)
	case errors.Is(err, unix.ENOTDIR):
		return nil, &initapi.Error{Kind: initapi.KindMissing, Message: "leads through a file"}
	case err != nil:
		return nil, fmt.Errorf("open %s: %w", part, err)
	}
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		unix.Close(fd)
		return nil, err
	}
	if stat.Mode&unix.S_IFMT == unix.S_IFLNK {
		defer unix.Close(fd)
		return w.follow(fd, pending)
	}
	w.push(fd, part)
	return pending, w.checkPrivate(stat, false)
}

// miss notes the rest of a path from where nothing is.
func (w *walker) miss(part string, pending []string) error {
	if len(pending) >= w.afterLinks {
		return &initapi.Error{Kind: initapi.KindMissing, Message: "is a symbolic link that leads nowhere"}
	}
	w.missing = []string{part}
	for _, next := range pending {
		switch next {
		case "", ".":
		case "..":
			return &initapi.Error{Kind: initapi.KindMissing, Message: "goes back from a folder that does not exist"}
		default:
			w.missing = append(w.missing, next)
		}
	}
	if len(w.fds)+len(w.missing) > maxSteps {
		return errTooDeep
	}
	return nil
}

// follow reads a link and puts its target before the rest of the path.
func (w *walker) follow(link int, pending []string) ([]string, error) {
	if w.links++; w.links > maxLinks {
		return nil, &initapi.Error{Kind: initapi.KindInvalid, Message: "has too many symbolic links"}
	}
	buffer := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(link, "", buffer)
	if err != nil {
		return nil, fmt.Errorf("read a symbolic link: %w", err)
	}
	w.afterLinks = min(w.afterLinks, len(pending))
	target := string(buffer[:n])
	if !path.IsAbs(target) {
		return append(strings.Split(target, "/"), pending...), nil
	}
	rest, err := w.jump(target)
	return append(rest, pending...), err
}

// checkPrivate refuses the folder that no source may show, and with whole also those
// above it, which would show it.
func (w *walker) checkPrivate(stat unix.Stat_t, whole bool) error {
	for i, identity := range w.private {
		if identity.Device == stat.Dev && identity.Inode == stat.Ino && (whole || i == len(w.private)-1) {
			return &initapi.Error{Kind: initapi.KindOutside, Message: "holds this node's own data on pods; use another path"}
		}
	}
	return nil
}

// take returns what the walk has led to.
func (w *walker) take() (opened, error) {
	var stat unix.Stat_t
	if err := unix.Fstat(w.top(), &stat); err != nil {
		return opened{}, err
	}
	if err := w.checkPrivate(stat, true); err != nil {
		return opened{}, err
	}
	out := opened{fd: w.top(), mode: stat.Mode, name: path.Join(append([]string{w.names[0]}, w.parts...)...)}
	w.fds, w.parts = w.fds[:len(w.fds)-1], nil
	return out, nil
}
