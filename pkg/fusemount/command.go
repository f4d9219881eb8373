package fusemount

import (
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Names of the command, which libraries for FUSE file systems run.
var Names = []string{"fusermount3", "fusermount"}

// socketVariable names the descriptor that the library waits at for that of /dev/fuse.
const socketVariable = "_FUSE_COMMFD"

// wish is a command line.
type wish struct {
	options, points      []string
	socket               int
	unmount, lazy, quiet bool
	autoUnmount          bool
	help, version        bool
}

// Command is fusermount(1) in a container: args are its arguments, and socket is that at
// which the sandbox's init answers. It returns the exit code.
func Command(args []string, socket string) int {
	w, err := parseCommand(args, os.Getenv(socketVariable))
	switch {
	case err == nil && w.help:
		fmt.Println("usage: fusermount3 [-o OPTIONS] MOUNTPOINT, or fusermount3 -u [-q] [-z] MOUNTPOINT")
		return 0
	case err == nil && w.version:
		fmt.Println("fusermount3 version: 3.14.0")
		return 0
	case err == nil:
		err = w.run(socket)
	}
	if err == nil {
		return 0
	}
	if !w.quiet {
		fmt.Fprintln(os.Stderr, "fusermount3:", err)
	}
	return 1
}

// parseCommand reads a command line as getopt_long(3) does: options may stand behind the
// mount point and share a hyphen. The package flag knows neither.
func parseCommand(args []string, variable string) (wish, error) {
	w := wish{socket: none}
	for len(args) > 0 {
		word := args[0]
		args = args[1:]
		switch {
		case word == "--":
			w.points, args = append(w.points, args...), nil
		case strings.HasPrefix(word, "--"):
			name, value, given := strings.Cut(word[2:], "=")
			letter := longNames[name]
			if strings.Contains(withValue, letter) && !given && len(args) > 0 {
				value, args = args[0], args[1:]
			}
			if !w.set(letter, value, &variable) {
				return w, fmt.Errorf("the option %.40s is not known", word)
			}
		case len(word) > 1 && word[0] == '-':
			for letters := word[1:]; letters != ""; {
				letter, value := letters[:1], ""
				if letters = letters[1:]; strings.Contains(withValue, letter) {
					if value, letters = letters, ""; value == "" && len(args) > 0 {
						value, args = args[0], args[1:]
					}
				}
				if !w.set(letter, value, &variable) {
					return w, fmt.Errorf("the option -%s is not known", letter)
				}
			}
		default:
			w.points = append(w.points, word)
		}
	}
	return w, w.check(variable)
}

// withValue are the options that are followed by a value.
const withValue = "oc"

var longNames = map[string]string{"options": "o", "unmount": "u", "lazy": "z", "quiet": "q", "auto-unmount": "U", "version": "V",
	"help": "h", "comm-fd": "c"}

func (w *wish) set(letter, value string, variable *string) bool {
	switch letter {
	case "o":
		w.options = append(w.options, value)
	case "c":
		*variable = value
	case "u":
		w.unmount = true
	case "z":
		w.lazy = true
	case "q":
		w.quiet = true
	case "U":
		w.autoUnmount = true
	case "V":
		w.version = true
	case "h":
		w.help = true
	default:
		return false
	}
	return true
}

func (w *wish) check(variable string) error {
	if w.help || w.version {
		return nil
	}
	if len(w.points) != 1 || w.points[0] == "" {
		return errors.New("one mount point is needed")
	}
	if w.unmount {
		return nil
	}
	n, err := strconv.Atoi(variable)
	if err != nil || n < 0 {
		return fmt.Errorf("%s is not set: this command is for libraries, which wait for /dev/fuse there", socketVariable)
	}
	w.socket = n
	return nil
}

func (w wish) run(socket string) error {
	// Where the mount point is does not depend on what is mounted there, or on a program
	// that may hang.
	point, err := filepath.Abs(w.points[0])
	if err != nil {
		return err
	}
	switch {
	case w.unmount:
		return unmountAt(socket, point, w.lazy)
	case w.autoUnmount: // what is mounted already
	default:
		if err := w.mount(socket, point); err != nil {
			return err
		}
	}
	if w.autoUnmount || w.asks("auto_unmount") {
		waitForEnd(w.socket)
		return unmountAt(socket, point, true)
	}
	return nil
}

func (w wish) asks(option string) bool {
	for _, word := range splitOptions(strings.Join(w.options, ",")) {
		if word == option {
			return true
		}
	}
	return false
}

// mount mounts, and hands the descriptor of /dev/fuse to the library.
func (w wish) mount(socket, point string) error {
	folder, err := unix.Open(point, unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("failed to access mountpoint %s: %w", point, err)
	}
	defer unix.Close(folder)
	fuse, err := call(socket, request{Op: opMount, Options: strings.Join(w.options, ",")}, folder)
	if err == nil && fuse == none {
		err = errors.New("the answer came without a descriptor")
	}
	if err != nil {
		return fmt.Errorf("mount failed at %s: %w", point, err)
	}
	defer unix.Close(fuse)
	if err := unix.Sendmsg(w.socket, []byte{0}, unix.UnixRights(fuse), nil, unix.MSG_NOSIGNAL); err != nil {
		return errors.Join(fmt.Errorf("hand over /dev/fuse: %w", err), unmountAt(socket, point, true))
	}
	return nil
}

func unmountAt(socket, point string, lazy bool) error {
	folder, err := unix.Open(filepath.Dir(point), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("failed to unmount %s: %w", point, err)
	}
	defer unix.Close(folder)
	if _, err := call(socket, request{Op: opUnmount, Name: filepath.Base(point), Lazy: lazy}, folder); err != nil {
		return fmt.Errorf("failed to unmount %s: %w", point, err)
	}
	return nil
}

// call asks the sandbox's init.
func call(socket string, r request, folder int) (int, error) {
	conn, err := unix.Socket(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return none, err
	}
	defer unix.Close(conn)
	if err := unix.Connect(conn, &unix.SockaddrUnix{Name: socket}); err != nil {
		return none, fmt.Errorf("this container has no access to FUSE: %w", err)
	}
	if err := send(conn, r, folder); err != nil {
		return none, err
	}
	var a answer
	fuse, err := receive(conn, &a)
	if err == nil && a.Error != "" {
		err = errors.New(a.Error)
	}
	return fuse, err
}

// waitForEnd returns when the other side of a socket has closed it: the program that
// served the file system has ended. It keeps nothing of the caller's open.
func waitForEnd(socket int) {
	signal.Ignore(unix.SIGHUP, unix.SIGINT, unix.SIGTERM, unix.SIGQUIT, unix.SIGPIPE)
	_, _ = unix.Setsid() // it fails for the leader of a group, which is no loss
	_ = unix.Chdir("/")
	if null, err := unix.Open("/dev/null", unix.O_RDWR, 0); err == nil {
		for fd := range 3 {
			_ = unix.Dup3(null, fd, 0)
		}
	}
	for {
		n, err := unix.Read(socket, make([]byte, 1))
		if n <= 0 && !errors.Is(err, unix.EINTR) {
			return
		}
	}
}
