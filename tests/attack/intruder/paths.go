package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// exchange swaps a folder and a symbolic link, as fast as it can, until it is
// stopped: DIR NAME TARGET. The folder holds a file "inside".
func exchange(args []string) int {
	if len(args) != 3 {
		return fail(errors.New("exchange DIR NAME TARGET"))
	}
	name, link := filepath.Join(args[0], args[1]), filepath.Join(args[0], args[1]+".link")
	if err := os.Mkdir(name, 0o777); err != nil && !errors.Is(err, fs.ErrExist) {
		return fail(err)
	}
	if err := os.Symlink(args[2], link); err != nil && !errors.Is(err, fs.ErrExist) {
		return fail(err)
	}
	// Behind the link, too, where the race has been left by an earlier run.
	_ = os.WriteFile(filepath.Join(name, "inside"), nil, 0o666)
	for {
		// Both sides of the window are to be met: the folder when it is checked, the
		// link when it is mounted.
		for range 1000 {
			if err := unix.Renameat2(unix.AT_FDCWD, name, unix.AT_FDCWD, link, unix.RENAME_EXCHANGE); err != nil {
				return fail(err)
			}
		}
		time.Sleep(time.Millisecond)
	}
}

// look tells whether a mounted folder is one of the sandbox or of the host: DIR.
func look(args []string) int {
	if len(args) != 1 {
		return fail(errors.New("look DIR"))
	}
	seen(args[0]).print("look")
	return 0
}

// engineFiles are in a root file system that runs an engine, and in no volume.
var engineFiles = []string{"usr/local/bin/dockerd", "usr/bin/dockerd", "var/lib/docker", "run/docker-sd", "run/docker", "proc/sys/kernel/core_pattern"}

func seen(dir string) outcome {
	var found []string
	for _, name := range engineFiles {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			found = append(found, name)
		}
	}
	if len(found) == 0 {
		return held("%s holds nothing of a sandbox", dir)
	}
	if f, err := os.OpenFile(filepath.Join(dir, "proc/sys/kernel/core_pattern"), os.O_WRONLY, 0); err == nil {
		f.Close()
		found = append(found, "core_pattern opens for writing")
	}
	return escaped("%s holds %s", dir, strings.Join(found, ", "))
}

// cwd tells whether the folder that the container was started in, or one that it
// inherited, lies outside the container.
func cwd([]string) int {
	outside(20).print("cwd")
	return 0
}

func outside(levels int) outcome {
	for i := range levels {
		up := "." + strings.Repeat("/..", i)
		for _, name := range []string{"usr/local/bin/dockerd", "usr/bin/dockerd", "usr/sbin/dockerd", "run/docker-sd", "var/lib/docker"} {
			if _, err := os.Stat(filepath.Join(up, name)); err == nil {
				return escaped("%s is seen from the working folder", up+"/"+name)
			}
		}
	}
	for fd := 3; fd < 64; fd++ {
		name := "/proc/self/fd/" + strconv.Itoa(fd)
		info, err := os.Stat(name)
		if err == nil && info.IsDir() {
			if _, err := os.Stat(name + "/../../../../../usr/local/bin/dockerd"); err == nil {
				return escaped("descriptor %d leads outside", fd)
			}
		}
	}
	return held("neither the working folder nor a descriptor leads outside")
}

// makeThings makes what is named KIND:PATH[:TARGET], to be found by others.
func makeThings(args []string) int {
	for _, arg := range args {
		parts := strings.SplitN(arg, ":", 3)
		if len(parts) < 2 {
			return fail(fmt.Errorf("%q is not KIND:PATH", arg))
		}
		kind, name, target := parts[0], parts[1], ""
		if len(parts) == 3 {
			target = parts[2]
		}
		if err := makeThing(kind, name, target); err != nil {
			return fail(err)
		}
	}
	return 0
}

func makeThing(kind, name, target string) error {
	switch kind {
	case "fifo":
		return unix.Mkfifo(name, 0o666)
	case "null":
		return unix.Mknod(name, unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3)))
	case "block":
		return unix.Mknod(name, unix.S_IFBLK|0o666, int(unix.Mkdev(7, 0)))
	case "link":
		return os.Symlink(target, name)
	case "hard":
		return os.Link(target, name)
	case "dir":
		return os.MkdirAll(name, 0o777)
	case "file":
		return os.WriteFile(name, []byte(target), 0o666)
	case "size":
		size, err := strconv.ParseInt(target, 10, 64)
		if err != nil {
			return err
		}
		f, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY, 0o666)
		if err != nil {
			return err
		}
		return errors.Join(f.Truncate(size), f.Close())
	case "deep":
		return makeDeep(name, target)
	}
	return fmt.Errorf("nothing of kind %q is made here", kind)
}

// makeDeep nests folders, one in another.
func makeDeep(name, levels string) error {
	n, err := strconv.Atoi(levels)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(name, 0o777); err != nil {
		return err
	}
	if err := os.Chdir(name); err != nil {
		return err
	}
	for range n {
		if err := os.Mkdir("d", 0o777); err != nil {
			return err
		}
		if err := os.Chdir("d"); err != nil {
			return err
		}
	}
	return nil
}

// open tells which files can be opened, never waiting: MODE:PATH, with MODE r or w.
// What it opens for writing it does not write.
func open(args []string) int {
	for _, arg := range args {
		mode, name, _ := strings.Cut(arg, ":")
		flags := unix.O_NONBLOCK | unix.O_CLOEXEC
		if mode == "w" {
			flags |= unix.O_WRONLY
		}
		fd, err := unix.Open(name, flags, 0)
		result := held("%v", err)
		if err == nil {
			unix.Close(fd)
			result = escaped("%s opened", name)
		} else if errors.Is(err, unix.ENOENT) {
			result = absent("%v", err)
		}
		result.print("open " + arg)
	}
	return 0
}
