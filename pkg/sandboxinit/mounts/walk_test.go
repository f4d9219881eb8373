package mounts

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/inittest"
)

// TestWalkLinks: as many links as Linux follows, and no more.
func TestWalkLinks(t *testing.T) {
	root := t.TempDir()
	inittest.Folder(t, root, "l0")
	for i := range maxLinks + 1 {
		inittest.Link(t, fmt.Sprintf("l%d", i), fmt.Sprintf("%s/l%d", root, i+1))
	}
	s := initapi.Source{Roots: rootsOf(root), Path: fmt.Sprintf("l%d", maxLinks), Type: "Directory"}
	wantOpened(t, s, root+"/l0")
	s.Path = fmt.Sprintf("l%d", maxLinks+1)
	wantRefused(t, s, initapi.KindInvalid, "too many symbolic links")
	// All of a path count, wherever they are.
	inittest.Link(t, ".", root+"/here")
	s.Path = strings.Repeat("here/", maxLinks) + "l0"
	wantOpened(t, s, root+"/l0")
	s.Path = strings.Repeat("here/", maxLinks+1) + "l0"
	wantRefused(t, s, initapi.KindInvalid, "too many symbolic links")
}

// TestWalkSteps: each folder takes a descriptor, those that are made too, and none is
// made of a path that has too many.
func TestWalkSteps(t *testing.T) {
	root := t.TempDir()
	deep := strings.Repeat("a/", maxSteps-1)
	for _, s := range []initapi.Source{
		{Path: strings.Repeat("a/", maxSteps)},
		{Path: strings.Repeat("a/", 100_000)},
		{SubPath: strings.Repeat("a/", 100_000)},
		{Path: strings.Repeat("a/", 100_000), Type: "FileOrCreate"},
	} {
		s.Roots = rootsOf(root)
		wantRefused(t, s, initapi.KindInvalid, fmt.Sprintf("has more than %d folders", maxSteps))
		if made := inittest.Entries(t, root); len(made) > 0 {
			t.Fatalf("made %q", made)
		}
	}
	before := descriptors(t)
	file, err := openSource(initapi.Source{Roots: rootsOf(root), Path: deep})
	if err != nil {
		t.Fatal(err)
	}
	file.close()
	if now := descriptors(t); now != before {
		t.Errorf("%d descriptors are left open", now-before)
	}
	wantRefused(t, initapi.Source{Roots: rootsOf(root), Path: deep + "a"}, initapi.KindInvalid, "folders")
	// Going back gives descriptors back.
	inittest.Link(t, strings.Repeat("b/../", 600)+"b", root+"/l")
	inittest.Folder(t, root, "b")
	inittest.Link(t, strings.Repeat("l/../", 30)+"b", root+"/m")
	wantOpened(t, initapi.Source{Roots: rootsOf(root), Path: "m"}, root+"/b")
}

// TestWalkNames that are longer than the kernel takes.
func TestWalkNames(t *testing.T) {
	root := t.TempDir()
	before := descriptors(t)
	for _, path := range []string{strings.Repeat("n", 300), "a/" + strings.Repeat("n", 300), "nul\x00"} {
		if file, err := openSource(initapi.Source{Roots: rootsOf(root), Path: path}); err == nil {
			t.Errorf("opened %s", file.name)
		}
	}
	if now := descriptors(t); now != before {
		t.Errorf("%d descriptors are left open", now-before)
	}
}

func TestBelow(t *testing.T) {
	for _, tt := range []struct {
		dir, name, rest string
		ok              bool
	}{
		{"/a", "/a", "", true},
		{"/a", "/a/b/c", "b/c", true},
		{"/a", "/ab", "/ab", false},
		{"/a", "/", "/", false},
		{"/", "/", "", true},
		{"/", "/a", "a", true},
		{"/a/", "/a/b", "b", true},
	} {
		if rest, ok := below(tt.dir, tt.name); rest != tt.rest || ok != tt.ok {
			t.Errorf("below(%q, %q) = %q, %t", tt.dir, tt.name, rest, ok)
		}
	}
}

// exchange is a volume at allowed/a whose name is exchanged with a link to the host's
// root, over and over, until the test ends. At path below allowed there is a folder
// either way: inside the volume, and outside.
type exchange struct {
	allowed, path, outside string
	// inside is the folder in the volume.
	inside initapi.Identity
}

func startExchange(t *testing.T) exchange {
	t.Helper()
	base, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	e := exchange{allowed: inittest.Folder(t, base, "allowed"), outside: inittest.Folder(t, base, "outside")}
	e.path = "a" + e.outside
	e.inside = identify(t, inittest.Folder(t, e.allowed, e.path))
	inittest.Link(t, "/", e.allowed+"/evil")
	var over atomic.Bool
	var running sync.WaitGroup
	running.Go(func() {
		for !over.Load() {
			if err := unix.Renameat2(unix.AT_FDCWD, e.allowed+"/a", unix.AT_FDCWD, e.allowed+"/evil", unix.RENAME_EXCHANGE); err != nil {
				t.Errorf("exchange the volume with a link: %v", err)
				return
			}
		}
	})
	t.Cleanup(func() {
		over.Store(true)
		running.Wait()
	})
	return e
}

// raceTries bounds a race, and raceTime how long it may take on a machine that is busy.
const (
	raceTries = 200_000
	raceTime  = 30 * time.Second
)

// TestExchangeByName is the attack that the walk is for: a path that was resolved and
// found to be inside is used by its name, and that leads outside.
func TestExchangeByName(t *testing.T) {
	for name, use := range map[string]func(t *testing.T, e exchange) (outside bool){
		"opened": func(t *testing.T, e exchange) bool {
			var stat unix.Stat_t
			err := unix.Stat(filepath.Join(e.allowed, e.path), &stat)
			return err == nil && (initapi.Identity{Device: stat.Dev, Inode: stat.Ino}) != e.inside
		},
		"made": func(t *testing.T, e exchange) bool {
			if err := os.Mkdir(filepath.Join(e.allowed, e.path, "new"), 0o700); err != nil && !errors.Is(err, os.ErrExist) {
				return false
			}
			return len(inittest.Entries(t, e.outside)) > 0
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := startExchange(t)
			deadline := time.Now().Add(raceTime)
			for try := 0; try < raceTries && time.Now().Before(deadline); try++ {
				target, err := filepath.EvalSymlinks(filepath.Join(e.allowed, e.path))
				if _, in := below(e.allowed, target); err == nil && in && use(t, e) {
					t.Logf("outside at try %d", try)
					return
				}
			}
			t.Error("the attack does not work by name, so that it fails on descriptors proves nothing")
		})
	}
}

// TestExchange: what open returns, and what it makes, lies inside, whatever becomes of
// its name.
func TestExchange(t *testing.T) {
	for name, c := range map[string]struct {
		source func(e exchange, try int64) initapi.Source
		made   bool
	}{
		"path": {source: func(e exchange, _ int64) initapi.Source {
			return initapi.Source{Roots: rootsOf(e.allowed), Path: e.path, Type: "Directory"}
		}},
		"subPath": {source: func(e exchange, _ int64) initapi.Source {
			return initapi.Source{Roots: rootsOf(filepath.Dir(e.allowed)), Path: "allowed", SubPath: e.path}
		}},
		"made path": {made: true, source: func(e exchange, try int64) initapi.Source {
			return initapi.Source{Roots: rootsOf(e.allowed), Path: fmt.Sprintf("%s/%d/x", e.path, try), Type: "DirectoryOrCreate"}
		}},
		"made file": {made: true, source: func(e exchange, try int64) initapi.Source {
			return initapi.Source{Roots: rootsOf(e.allowed), Path: fmt.Sprintf("%s/%d", e.path, try), Type: "FileOrCreate"}
		}},
		"made subPath": {made: true, source: func(e exchange, try int64) initapi.Source {
			return initapi.Source{Roots: rootsOf(filepath.Dir(e.allowed)), Path: "allowed", SubPath: fmt.Sprintf("%s/%d/x", e.path, try)}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			e := startExchange(t)
			inside := func(file opened) bool {
				if c.made {
					return true // seen below
				}
				var stat unix.Stat_t
				err := unix.Fstat(file.fd, &stat)
				return err == nil && (initapi.Identity{Device: stat.Dev, Inode: stat.Ino}) == e.inside
			}
			openOften(t, func(try int64) initapi.Source { return c.source(e, try) }, inside)
			if made := inittest.Entries(t, e.outside); len(made) > 0 {
				t.Errorf("made %q outside", made)
			}
		})
	}
}

// openOften calls open from several goroutines until each outcome was seen often enough:
// the volume as itself, and as the link.
func openOften(t *testing.T, source func(try int64) initapi.Source, inside func(opened) bool) {
	t.Helper()
	const often = 100
	before := descriptors(t)
	var tries, good, refused, outside atomic.Int64
	deadline := time.Now().Add(raceTime)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for outside.Load() == 0 && (good.Load() < often || refused.Load() < often) {
				try := tries.Add(1)
				if try > raceTries || time.Now().After(deadline) {
					return
				}
				file, err := openSource(source(try))
				var known *initapi.Error
				switch {
				case err == nil && inside(file):
					good.Add(1)
				case err == nil:
					outside.Add(1)
				case errors.As(err, &known) && known.Kind == initapi.KindOutside:
					refused.Add(1)
				default:
					t.Errorf("openSource() = %v", err)
					return
				}
				if err == nil {
					file.close()
				}
			}
		})
	}
	all.Wait()
	if outside.Load() > 0 || good.Load() < often || refused.Load() < often {
		t.Errorf("of %d, %d were outside, %d inside and %d refused, want none, and %d of each of the others",
			tries.Load(), outside.Load(), good.Load(), refused.Load(), often)
	}
	if now := descriptors(t); now > before {
		t.Errorf("%d descriptors are left open", now-before)
	}
}
