package mounts

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// usualUmask is that of kubelet where systemd starts it.
const usualUmask = 0o022

// openTries is how often a source is opened that changes meanwhile.
const openTries = 100

// errChanged says that the tree was changed between two steps.
var errChanged = errors.New("it changes while it is opened")

// openSource opens a source. What it returns is decided: neither its place nor its type is
// looked up by name again.
func openSource(s initapi.Source) (opened, error) {
	for range openTries {
		out, err := openOnce(s)
		if !errors.Is(err, errChanged) {
			return out, err
		}
	}
	return opened{}, &initapi.Error{Kind: initapi.KindOutside, Message: "leads outside, or keeps changing while it is opened"}
}

func openOnce(s initapi.Source) (opened, error) {
	if len(s.Roots) == 0 {
		return opened{}, &initapi.Error{Kind: initapi.KindInvalid, Message: "no root to open it in"}
	}
	w, err := newWalker(s.Roots, s.Private)
	if err != nil {
		return opened{}, err
	}
	defer w.close()
	if err := w.walk(s.Path); err != nil {
		return opened{}, err
	}
	if err := w.makeVolume(s); err != nil {
		return opened{}, err
	}
	volume, err := w.take()
	if err != nil || s.SubPath == "" {
		return volume, err
	}
	defer volume.close()
	return openSubPath(volume, s)
}

// openSubPath walks below a volume. An absolute link is followed where it names the
// volume's own path.
func openSubPath(volume opened, s initapi.Source) (opened, error) {
	if !volume.isDir() {
		return opened{}, &initapi.Error{Kind: initapi.KindMissing, Message: "the volume is a file and has nothing below it"}
	}
	w, err := walkFrom(volume, s.Private)
	if err != nil {
		return opened{}, err
	}
	defer w.close()
	w.asRoot = s.AsRoot
	if err := w.walk(s.SubPath); err != nil {
		return opened{}, err
	}
	// The mode of the volume's own folder, as kubelet takes it.
	if err := w.makeFolders(volume.mode & 0o7777); err != nil {
		return opened{}, err
	}
	return w.take()
}

// makeVolume makes what is missing of a hostPath volume, as far as its type says so.
// With no type kubelet checks nothing and container runtimes make a folder.
func (w *walker) makeVolume(s initapi.Source) error {
	if len(w.missing) > 0 && !s.NoCreate {
		switch s.Type {
		case "", "DirectoryOrCreate":
			if err := w.makeFolders(0o755); err != nil {
				return err
			}
		case "FileOrCreate":
			if err := w.makeFile(0o644); err != nil {
				return err
			}
		}
	}
	if len(w.missing) > 0 {
		return &initapi.Error{Kind: initapi.KindMissing, Message: "does not exist on this node" + asked(s.Type)}
	}
	var stat unix.Stat_t
	if err := unix.Fstat(w.top(), &stat); err != nil {
		return err
	}
	if !hasType(stat.Mode, s.Type) {
		return &initapi.Error{Kind: initapi.KindMissing, Message: fmt.Sprintf("is not what type %s asks for", s.Type)}
	}
	return nil
}

func asked(kind string) string {
	if kind == "" {
		return ""
	}
	return ", and type " + kind + " asks for it"
}

func hasType(mode uint32, kind string) bool {
	switch kind {
	case "Directory", "DirectoryOrCreate":
		return mode&unix.S_IFMT == unix.S_IFDIR
	case "File", "FileOrCreate":
		return mode&unix.S_IFMT == unix.S_IFREG
	case "Socket":
		return mode&unix.S_IFMT == unix.S_IFSOCK
	case "CharDevice":
		return mode&unix.S_IFMT == unix.S_IFCHR
	case "BlockDevice":
		return mode&unix.S_IFMT == unix.S_IFBLK
	}
	return true
}

// makeFolders makes the folders that are missing and goes on in them. The last one has a
// mode that the umask does not reduce. As with kubelet, those before it are reduced by the
// usual umask, are not sticky, and have the setgid bit where the folder above them has it.
func (w *walker) makeFolders(mode uint32) error {
	for len(w.missing) > 0 {
		part := w.missing[0]
		err := unix.Mkdirat(w.top(), part, 0o700)
		if errors.Is(err, unix.EROFS) {
			return &initapi.Error{Kind: initapi.KindMissing, Message: "does not exist, and the volume is read-only"}
		}
		if err != nil {
			return w.changed("make the folder", part, err)
		}
		fd, err := unix.Openat(w.top(), part, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return w.changed("open the folder", part, err)
		}
		w.push(fd, part)
		own := mode
		if len(w.missing) > 1 {
			var stat unix.Stat_t
			if err := unix.Fstat(fd, &stat); err != nil {
				return err
			}
			own = mode&0o777&^usualUmask | stat.Mode&unix.S_ISGID
		}
		if err := unix.Fchmod(fd, own); err != nil {
			return fmt.Errorf("set the mode of the folder %s: %w", part, err)
		}
		w.missing = w.missing[1:]
	}
	return nil
}

// makeFile makes a file whose folder exists.
func (w *walker) makeFile(mode uint32) error {
	part := w.missing[0]
	if len(w.missing) > 1 {
		return &initapi.Error{Kind: initapi.KindMissing, Message: "lies in a folder that does not exist on this node"}
	}
	fd, err := unix.Openat(w.top(), part, unix.O_CREAT|unix.O_EXCL|unix.O_WRONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return w.changed("make the file", part, err)
	}
	w.push(fd, part)
	w.missing = nil
	if err := unix.Fchmod(fd, mode); err != nil {
		return fmt.Errorf("set the mode of the file %s: %w", part, err)
	}
	return nil
}

// changed tells a step that met another tree than the one before from one that failed.
func (w *walker) changed(what, part string, err error) error {
	for _, expected := range []error{unix.EEXIST, unix.ENOENT, unix.ENOTDIR, unix.ELOOP} {
		if errors.Is(err, expected) {
			return errChanged
		}
	}
	return fmt.Errorf("%s %s: %w", what, part, err)
}
