package writeback

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

func TestRun(t *testing.T) {
	broken := errors.New("broken")
	for name, c := range map[string]struct {
		waiting int64
		// unknown and failing are how often nobody knows what waits, and it cannot be written.
		unknown, failing int
		least, most      int
	}{
		"little waits":              {waiting: 100},
		"too much waits":            {waiting: 101, least: 240, most: 240},
		"nobody knows for a while":  {waiting: 101, unknown: 3, least: 150, most: 238},
		"it cannot be had for long": {waiting: 101, failing: 5, least: 100, most: 236},
		"it can never be had":       {waiting: 101, failing: 1 << 30, least: 3, most: 20},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				looked, flushed := 0, 0
				k := keeper{limit: 100, waiting: func() (int64, error) {
					if looked++; looked <= c.unknown {
						return 0, broken
					}
					return c.waiting, nil
				}, flush: func() error {
					if flushed++; flushed <= c.failing {
						return broken
					}
					return nil
				}}
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute+period/2)
				defer cancel()
				k.run(ctx)
				if flushed < c.least || flushed > c.most {
					t.Errorf("flushed %d times in a minute, want %d to %d", flushed, c.least, c.most)
				}
			})
		})
	}
}

// The host that the test runs on tells what waits, and can be told to write.
func TestHost(t *testing.T) {
	if n, err := dirty("/proc"); err != nil || n < 0 {
		t.Errorf("dirty() = %d, %v", n, err)
	}
	if err := syncFileSystem(t.TempDir()); err != nil {
		t.Error(err)
	}
	if err := syncFileSystem(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a folder that is not there was written out")
	}
}

// A folder that cannot be seen ends it: nothing waits for it then. One that can be seen
// does not.
func TestRunWithoutTheFolder(t *testing.T) {
	there := t.TempDir()
	for dir, ends := range map[string]bool{filepath.Join(there, "none"): true, there: false} {
		synctest.Test(t, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			ended := make(chan struct{})
			go func() { defer close(ended); Run(ctx, dir, 1<<60) }()
			synctest.Wait()
			select {
			case <-ended:
				if !ends {
					t.Errorf("it ended although %s is there", dir)
				}
			default:
				if ends {
					t.Errorf("it goes on although %s is not there", dir)
				}
			}
			cancel()
			<-ended
		})
	}
}

func TestDirty(t *testing.T) {
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
			proc := t.TempDir()
			if err := os.WriteFile(filepath.Join(proc, "meminfo"), []byte(c.text), 0o600); err != nil {
				t.Fatal(err)
			}
			if got, err := dirty(proc); got != c.want || (err == nil) != c.ok {
				t.Errorf("dirty() = %d, %v, want %d", got, err, c.want)
			}
		})
	}
	if _, err := dirty(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a host without /proc says what waits")
	}
}
