package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestOpenFolder(t *testing.T) {
	// Not t.TempDir: its path may be longer than sockets allow.
	base, err := os.MkdirTemp("", "lab")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(base); err != nil {
			t.Error(err)
		}
	})
	t.Run("made for its user alone", func(t *testing.T) {
		path := filepath.Join(base, "new")
		if err := os.Mkdir(path, 0o755); err != nil {
			t.Fatal(err)
		}
		if _, err := openFolder(path); err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if got := info.Mode().Perm(); got != 0o700 {
			t.Errorf("mode %o, want 700", got)
		}
	})
	t.Run("symbolic link refused", func(t *testing.T) {
		path := filepath.Join(base, "link")
		if err := os.Symlink(base, path); err != nil {
			t.Fatal(err)
		}
		if _, err := openFolder(path); err == nil {
			t.Error("opened")
		}
	})
	t.Run("too deep refused before it is made", func(t *testing.T) {
		path := filepath.Join(base, strings.Repeat("d", 100))
		if _, err := openFolder(path); err == nil || exists(path) {
			t.Errorf("error %v, exists %t", err, exists(path))
		}
	})
}

func TestFolder_Lock(t *testing.T) {
	f := folder(t.TempDir())
	first, err := f.lock(t.Context(), time.Second, func() { t.Error("the first run waits") })
	if err != nil {
		t.Fatal(err)
	}
	t.Run("limit", func(t *testing.T) {
		said := 0
		_, err := f.lock(t.Context(), 250*time.Millisecond, func() { said++ })
		if !errors.Is(err, context.DeadlineExceeded) || said != 1 {
			t.Errorf("error %v and %d messages, want the deadline and one", err, said)
		}
	})
	t.Run("waits for the release", func(t *testing.T) {
		release := func() {
			if err := first.Close(); err != nil {
				t.Error(err)
			}
		}
		second, err := f.lock(t.Context(), 10*time.Second, release)
		if err != nil {
			t.Fatal(err)
		}
		if err := second.Close(); err != nil {
			t.Error(err)
		}
	})
}
