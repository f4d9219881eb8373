package tree

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Usage is what a folder and all below it take.
type Usage struct {
	// Bytes are those of the allocated blocks, so a hole counts nothing.
	Bytes int64
	// Inodes are files and folders; one with several names counts once.
	Inodes int64
}

// ErrMoved says that folders were moved while they were measured, at each of several
// tries.
var ErrMoved = errors.New("its folders are being moved about")

const (
	// blockBytes is the unit of allocated blocks in stat(2).
	blockBytes = 512
	// moveTries is how often a folder is measured in which others are moved.
	moveTries = 3
	// readBytes is for the entries that are read at a time.
	readBytes = 32 << 10
)

// bounds of what a walk holds.
type bounds struct {
	// open is how many folders above the present one stay open.
	open int
	// noted is of how many it is remembered where they were left.
	noted int
	// linked is how many inodes with several names are told apart. Of further ones
	// each name counts its share.
	linked int
}

var usual = bounds{open: 16, noted: 1 << 16, linked: 1 << 16}

// Measure sums up a folder, as far as it is on the folder's own file system and mount.
// What goes while it is looked at counts nothing. Depth and width have no limit: it
// holds less than 20 descriptors and 5 MB. With an error, ErrMoved or the end of ctx
// among them, the usage is that of what was seen.
func Measure(ctx context.Context, dir *os.File) (Usage, error) {
	var most Usage
	for try := 1; ; try++ {
		got, err := measure(ctx, dir, usual)
		most.Bytes, most.Inodes = max(most.Bytes, got.Bytes), max(most.Inodes, got.Inodes)
		if !errors.Is(err, ErrMoved) || try == moveTries {
			if err == nil {
				most = got
			}
			return most, err
		}
	}
}

func measure(ctx context.Context, dir *os.File, limits bounds) (Usage, error) {
	w := &walk{ctx: ctx, bounds: limits, seen: map[uint64]bool{}}
	defer w.close()
	fd, err := openFolder(fdOf(dir), ".")
	if err != nil {
		return Usage{}, failed("open", dir.Name(), err)
	}
	var stat unix.Stat_t
	if err := unix.Fstat(fd, &stat); err != nil {
		unix.Close(fd)
		return Usage{}, failed("measure", dir.Name(), err)
	}
	w.device, w.root = stat.Dev, stat.Ino
	w.count(&stat)
	w.push(level{fd: fd, inode: stat.Ino})
	err = w.run()
	return Usage{Bytes: int64(w.blocks+0.5) * blockBytes, Inodes: int64(w.inodes + 0.5)}, err
}

// level is a folder between the root and the one that is being read.
type level struct {
	// fd is -1 while the folder is closed.
	fd    int
	inode uint64
	// next is where reading goes on, as the file system counts.
	next int64
	// buffer is for entries, of which rest were not looked at yet.
	buffer, rest []byte
}

// walk goes through a tree depth first. Levels that are too many to be kept are
// closed, and found again as the parent of the one below. Of levels that are not
// even noted it looks up in the parent where it was: this costs no more than the way
// down did, which was longer than all that is noted.
type walk struct {
	ctx context.Context
	bounds
	device, root uint64
	// levels are the lowest ones, lost is how many there are above them.
	levels []level
	lost   int
	// spare are the buffers of levels that were closed.
	spare [][]byte
	// problem is the first entry's that could not be looked at.
	problem error

	seen           map[uint64]bool
	blocks, inodes float64
}

func (w *walk) close() {
	for i := range w.levels {
		if w.levels[i].fd >= 0 {
			unix.Close(w.levels[i].fd)
		}
	}
}

func (w *walk) push(l level) {
	w.levels = append(w.levels, l)
	if at := len(w.levels) - 1 - w.open; at >= 0 && w.levels[at].fd >= 0 {
		w.shut(&w.levels[at])
	}
	if len(w.levels) > w.noted {
		drop := max(w.noted/2, 1)
		for i := range drop {
			w.shut(&w.levels[i])
		}
		w.levels = append(w.levels[:0], w.levels[drop:]...)
		w.lost += drop
	}
}

func (w *walk) shut(l *level) {
	if l.fd >= 0 {
		unix.Close(l.fd)
	}
	if l.buffer != nil {
		w.spare = append(w.spare, l.buffer)
	}
	l.fd, l.buffer, l.rest = -1, nil, nil
}

func (w *walk) run() error {
	for len(w.levels) > 0 {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		l := &w.levels[len(w.levels)-1]
		name, _, err := w.entry(l)
		if err != nil {
			return failed("read a folder", ".", err)
		}
		if name == "" {
			if err := w.leave(); err != nil {
				return err
			}
			continue
		}
		if err := w.look(l.fd, name); err != nil && w.problem == nil {
			w.problem = err
		}
	}
	return w.problem
}

// lend gives a level a buffer.
func (w *walk) lend(l *level) {
	switch last := len(w.spare) - 1; {
	case l.buffer != nil:
	case last >= 0:
		l.buffer, w.spare = w.spare[last], w.spare[:last]
	default:
		l.buffer = make([]byte, readBytes)
	}
}

// look counts an entry; a folder is entered.
func (w *walk) look(dir int, name string) error {
	var stat unix.Stat_t
	if err := unix.Fstatat(dir, name, &stat, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return unlessGone("measure", name, err)
	}
	if stat.Dev != w.device {
		return nil
	}
	if stat.Mode&unix.S_IFMT != unix.S_IFDIR {
		w.count(&stat)
		return nil
	}
	fd, err := openFolder(dir, name)
	if errors.Is(err, unix.EXDEV) {
		return nil
	}
	if err != nil {
		w.count(&stat)
		return unlessGone("open", name, err)
	}
	if err := unix.Fstat(fd, &stat); err != nil {
		unix.Close(fd)
		return failed("measure", name, err)
	}
	w.count(&stat)
	w.push(level{fd: fd, inode: stat.Ino})
	return nil
}

// unlessGone forgives that an entry went, or became something else, since its name
// was read.
func unlessGone(op, name string, err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil
	}
	return failed(op, name, err)
}

func (w *walk) count(stat *unix.Stat_t) {
	share := 1.0
	if stat.Mode&unix.S_IFMT != unix.S_IFDIR && stat.Nlink > 1 {
		switch {
		case w.seen[stat.Ino]:
			return
		case len(w.seen) < w.linked:
			w.seen[stat.Ino] = true
		default:
			share = 1 / float64(stat.Nlink)
		}
	}
	w.inodes += share
	w.blocks += share * float64(stat.Blocks)
}

// leave goes on in the folder above.
func (w *walk) leave() error {
	last := len(w.levels) - 1
	done := w.levels[last]
	defer w.shut(&done)
	w.levels = w.levels[:last]
	switch {
	case last > 0 && w.levels[last-1].fd >= 0, last == 0 && w.lost == 0:
		return nil // it is still open, or this was the root
	case last == 0:
		return w.findAgain(done)
	}
	above := &w.levels[last-1]
	fd, inode, err := w.parent(done.fd)
	if err == nil && inode != above.inode {
		err = ErrMoved
	}
	if err == nil {
		_, err = unix.Seek(fd, above.next, unix.SEEK_SET)
	}
	if err != nil {
		if fd >= 0 {
			unix.Close(fd)
		}
		return err
	}
	above.fd = fd
	return nil
}

func (w *walk) parent(dir int) (fd int, inode uint64, err error) {
	fd, err = again(func() (int, error) {
		return unix.Openat(dir, "..", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	})
	if err != nil {
		return -1, 0, failed("open", "..", err)
	}
	var stat unix.Stat_t
	if err = unix.Fstat(fd, &stat); err == nil && stat.Dev != w.device {
		err = ErrMoved
	}
	return fd, stat.Ino, err
}

// findAgain opens the folder above the last one that is noted, and reads it up to
// the entry that is done.
func (w *walk) findAgain(done level) error {
	fd, inode, err := w.parent(done.fd)
	w.lost--
	// A walk that leads elsewhere does not arrive at the root, and must not go past it.
	if err == nil && (w.lost == 0) != (inode == w.root) {
		err = ErrMoved
	}
	if err != nil {
		if fd >= 0 {
			unix.Close(fd)
		}
		return err
	}
	w.levels = append(w.levels, level{fd: fd, inode: inode})
	l := &w.levels[len(w.levels)-1]
	for {
		if err := w.ctx.Err(); err != nil {
			return err
		}
		name, inode, err := w.entry(l)
		switch {
		case err != nil:
			return failed("read a folder", ".", err)
		case name == "":
			return ErrMoved
		case inode == done.inode:
			return nil
		}
	}
}

// The fields of a linux_dirent64, see getdents64(2).
const (
	direntInode  = 0
	direntNext   = 8
	direntLength = 16
	direntName   = 19
)

// entry returns the next name in a folder and its inode, "" at the end.
func (w *walk) entry(l *level) (string, uint64, error) {
	for {
		if len(l.rest) == 0 {
			w.lend(l)
			n, err := again(func() (int, error) { return unix.Getdents(l.fd, l.buffer) })
			if errors.Is(err, unix.ENOENT) || n == 0 {
				return "", 0, nil // removed meanwhile, or its end
			}
			if err != nil {
				return "", 0, err
			}
			l.rest = l.buffer[:n]
		}
		entry := l.rest[:binary.NativeEndian.Uint16(l.rest[direntLength:])]
		l.rest = l.rest[len(entry):]
		l.next = int64(binary.NativeEndian.Uint64(entry[direntNext:]))
		name, _, _ := strings.Cut(string(entry[direntName:]), "\x00")
		if name != "." && name != ".." {
			return name, binary.NativeEndian.Uint64(entry[direntInode:]), nil
		}
	}
}
