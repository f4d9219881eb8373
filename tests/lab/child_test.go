package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

func TestRunCommand(t *testing.T) {
	tests := []struct {
		name, script string
		want         int
	}{
		{"success", "exit 0", 0},
		{"failure", "exit 7", 7},
		{"ended by a signal", "kill -TERM $$", 143},
		{"environment", `test "$GIVEN" = value`, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := runCommand([]string{"/bin/sh", "-c", tt.script}, []string{"GIVEN=value"}, nil)
			if err != nil || got != tt.want {
				t.Errorf("code %d, error %v, want %d", got, err, tt.want)
			}
		})
	}
	t.Run("not there", func(t *testing.T) {
		if _, err := runCommand([]string{filepath.Join(t.TempDir(), "none")}, nil, nil); err == nil {
			t.Error("no error")
		}
	})
}

// A pipe tells that a process is ready without a look at the clock.
func TestRunCommand_PassesSignalsOn(t *testing.T) {
	ready := filepath.Join(t.TempDir(), "ready")
	if err := syscall.Mkfifo(ready, 0o600); err != nil {
		t.Fatal(err)
	}
	signals := make(chan os.Signal, 1)
	seen := make(chan error, 1)
	go func() {
		_, err := os.ReadFile(ready)
		signals <- syscall.SIGTERM
		seen <- err
	}()
	script := `trap 'exit 9' TERM; echo > "$READY"; while :; do sleep 0.05; done`
	got, err := runCommand([]string{"/bin/sh", "-c", script}, []string{"READY=" + ready, "PATH=/usr/bin:/bin"}, signals)
	if err != nil || got != 9 {
		t.Errorf("code %d, error %v, want 9", got, err)
	}
	if err := <-seen; err != nil {
		t.Error(err)
	}
}

func TestStart_ReportsTheEnd(t *testing.T) {
	ended, err := start(exec.Command("/bin/sh", "-c", "exit 3"))
	if err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err == nil || err.Error() != "exit status 3" {
			t.Errorf("error %v, want exit status 3", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the end is not reported")
	}
}
