package writeback

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

func TestRun(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		waiting int64
		unknown error
		fails   error
		flushes int
		want    error
	}{
		"little waits":     {waiting: 100},
		"too much waits":   {waiting: 101, flushes: 4},
		"nobody knows":     {waiting: 101, unknown: broken, want: broken},
		"it cannot be had": {waiting: 101, fails: broken, flushes: 1, want: broken},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				flushed := 0
				k := keeper{limit: 100, waiting: func() (int64, error) { return c.waiting, c.unknown },
					flush: func() error { flushed++; return c.fails }}
				ctx, cancel := context.WithTimeout(t.Context(), time.Second+period/2)
				defer cancel()
				if err := k.run(ctx); !errors.Is(err, c.want) {
					t.Errorf("run() = %v, want %v", err, c.want)
				}
				if flushed != c.flushes {
					t.Errorf("flushed %d times in a second, want %d", flushed, c.flushes)
				}
			})
		})
	}
}

// The host that the test runs on tells what waits, and can be told to write.
func TestHost(t *testing.T) {
	if n, err := dirty(); err != nil || n < 0 {
		t.Errorf("dirty() = %d, %v", n, err)
	}
	if err := syncFileSystem(t.TempDir()); err != nil {
		t.Error(err)
	}
	if err := syncFileSystem(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a folder that is not there was written out")
	}
}

// A folder that cannot be seen ends it: whoever waits for it does not wait for ever.
func TestRunWithoutTheFolder(t *testing.T) {
	Run(t.Context(), filepath.Join(t.TempDir(), "none"), 1)
}

func TestParse(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		want int64
		ok   bool
	}{
		"as it is":    {"MemTotal:  24 kB\nDirty:              1312 kB\nWriteback:             4 kB\n", 1312 << 10, true},
		"without it":  {"MemTotal:  24 kB\nWriteback: 4 kB\n", 0, false},
		"no number":   {"Dirty: many kB\n", 0, false},
		"nothing":     {"", 0, false},
		"another one": {"NotDirty: 7 kB\n", 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := parse([]byte(c.text)); got != c.want || (err == nil) != c.ok {
				t.Errorf("parse() = %d, %v, want %d", got, err, c.want)
			}
		})
	}
}
