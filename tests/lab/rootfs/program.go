package rootfs

import (
	"bufio"
	"context"
	"debug/elf"
	"fmt"
	"maps"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// Busybox returns a tree that a shell runs in: busybox with a link for each of
// its applets, /tmp, and the users root, app (uid 1000) and nobody (65534).
func Busybox(ctx context.Context, busybox string) (*Tree, error) {
	list, err := exec.CommandContext(ctx, busybox, "--list").Output()
	if err != nil {
		return nil, fmt.Errorf("list the applets of %s: %w", busybox, err)
	}
	t := NewTree()
	for _, applet := range strings.Fields(string(list)) {
		if applet != "busybox" && !strings.Contains(applet, "/") {
			t.Link("bin/"+applet, "busybox")
		}
	}
	// Scripts name these two places, whatever PATH says.
	t.Link("usr/bin/env", "/bin/busybox")
	t.Link("sbin/init", "/bin/busybox")
	for _, dir := range []string{"dev", "etc", "home", "proc", "run", "srv", "sys", "usr/sbin", "var/log"} {
		t.Dir(dir, 0o755, 0)
	}
	t.Dir("root", 0o700, 0)
	t.Dir("home/app", 0o755, 1000)
	t.Dir("tmp", 0o1777, 0)
	t.Dir("var/tmp", 0o1777, 0)
	t.File("etc/passwd", 0o644, "root:x:0:0:root:/root:/bin/sh\n"+
		"app:x:1000:1000:app:/home/app:/bin/sh\n"+
		"nobody:x:65534:65534:nobody:/nonexistent:/bin/false\n")
	t.File("etc/group", 0o644, "root:x:0:\napp:x:1000:\nnogroup:x:65534:\n")
	t.File("etc/nsswitch.conf", 0o644, "passwd: files\ngroup: files\nhosts: files dns\n")
	return t, t.AddPrograms(ctx, map[string]string{"bin/busybox": busybox})
}

// AddPrograms adds programs, given as path in the tree to path on this machine,
// and the shared libraries they need, the libraries at the path they have here.
// Shared objects that a program loads by itself may be given as programs too.
func (t *Tree) AddPrograms(ctx context.Context, programs map[string]string) error {
	var sources []string
	for name, source := range programs {
		if err := t.Copy(name, source); err != nil {
			return err
		}
		sources = append(sources, source)
	}
	slices.Sort(sources)
	libraries, err := Libraries(ctx, sources)
	if err != nil {
		return err
	}
	for _, library := range libraries {
		if err := t.Copy(library, library); err != nil {
			return err
		}
	}
	return nil
}

// Libraries returns the absolute paths of the shared libraries and of the
// loader that the programs need, sorted, as ldd finds them. Static programs and
// scripts need none. A library that is not found is an error.
func Libraries(ctx context.Context, programs []string) ([]string, error) {
	found := make(map[string]string)
	for _, program := range programs {
		// ldd starts a shell and the loader, too slow for each small module.
		if haveAll(found, imports(program)) {
			continue
		}
		out, err := exec.CommandContext(ctx, "ldd", "--", program).Output()
		if err != nil {
			return nil, fmt.Errorf("find the shared libraries of %s with ldd: %w", program, err)
		}
		libraries, err := parseLdd(string(out))
		if err != nil {
			return nil, fmt.Errorf("find the shared libraries of %s: %w", program, err)
		}
		for _, library := range libraries {
			found[filepath.Base(library)] = library
		}
	}
	return slices.Sorted(maps.Values(found)), nil
}

func haveAll(found map[string]string, names []string) bool {
	return !slices.ContainsFunc(names, func(name string) bool { return found[name] == "" })
}

// imports returns the names of the libraries that a program asks for, none for
// a static program or a script, on which ldd would fail.
func imports(program string) []string {
	file, err := elf.Open(program)
	if err != nil {
		return nil
	}
	names, err := file.ImportedLibraries()
	if file.Close() != nil || err != nil {
		return nil
	}
	return names
}

// parseLdd reads lines of the forms "name => /path (address)", "/path (address)"
// for the loader, and "linux-vdso.so.1 (address)", which is no file.
func parseLdd(out string) ([]string, error) {
	var paths []string
	lines := bufio.NewScanner(strings.NewReader(out))
	for lines.Scan() {
		line := strings.TrimSpace(lines.Text())
		name, target, arrow := strings.Cut(line, " => ")
		if !arrow {
			target = line
		}
		if arrow && strings.HasPrefix(target, "not found") {
			return nil, fmt.Errorf("shared library %s is not installed", name)
		}
		if file, _, _ := strings.Cut(target, " ("); filepath.IsAbs(file) {
			paths = append(paths, filepath.Clean(file))
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths), lines.Err()
}
