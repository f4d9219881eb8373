package kit

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
)

// pretend is a process that runs a script in place of docker-sd, once it has said so.
func pretend(t *testing.T, script string) (*Process, *Log) {
	t.Helper()
	log := &Log{}
	p := &Process{Binary: filepath.Join(t.TempDir(), "script"), Config: "/c.yaml", Args: []string{"-more"}, Output: log, Engine: "unix:///e", Env: []string{"A=b"}}
	if err := os.WriteFile(p.Binary, []byte("#!/bin/sh\n"+script+"\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if p.Running() {
			if err := p.Signal(syscall.SIGKILL, time.Minute); err != nil {
				t.Error(err)
			}
		}
	})
	for deadline := time.Now().Add(time.Minute); !strings.Contains(log.String(), "ready"); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it says %q", log)
		}
	}
	return p, log
}

const wait = "while :; do sleep 0.05; done"

func TestProcess(t *testing.T) {
	t.Setenv("SIDECARPORT", "1")
	t.Run("what it is given", func(t *testing.T) {
		p, log := pretend(t, `echo "$@"; env; echo ready; trap 'exit 0' TERM; `+wait)
		if err := p.Stop(time.Minute); err != nil || p.Running() {
			t.Errorf("stop = %v, and it runs: %t", err, p.Running())
		}
		for _, want := range []string{"-interlinkconfigpath /c.yaml -more\n", "DOCKER_HOST=unix:///e\n", "A=b\n", "PATH="} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("no %q in %q", want, log)
			}
		}
		if got := log.About("SIDECARPORT"); got != "" {
			t.Errorf("%q would win over the file", got)
		}
	})
	t.Run("a bad end", func(t *testing.T) {
		p, _ := pretend(t, "echo ready; trap 'exit 3' TERM; "+wait)
		if err := p.Stop(time.Minute); err == nil || !strings.Contains(err.Error(), "exit status 3") {
			t.Errorf("stop = %v, want exit status 3", err)
		}
		if err := p.Stop(time.Minute); err == nil || !strings.Contains(err.Error(), "does not run") {
			t.Errorf("stop of one that has ended = %v", err)
		}
	})
	t.Run("no end", func(t *testing.T) {
		p, _ := pretend(t, "trap '' TERM; echo ready; "+wait)
		if err := p.Stop(100 * time.Millisecond); err == nil || !strings.Contains(err.Error(), "was killed") || p.Running() {
			t.Errorf("stop = %v, and it runs: %t", err, p.Running())
		}
	})
	if (&Process{}).Running() {
		t.Error("a process that was not started runs")
	}
}

// TestSettings: docker-sd starts with what is written, and more settings win.
func TestSettings(t *testing.T) {
	path := filepath.Join(t.TempDir(), "c")
	if err := WriteConfig(path, Settings("/short", "i", map[string]any{"AVAILABLEDINDS": 7, "DataRootFolder": "/other"})); err != nil {
		t.Fatal(err)
	}
	c, warnings, err := config.Load(path, func(string) string { return "" })
	if err != nil || len(warnings) > 0 || c.AvailableDinds != 7 || c.DataRootFolder != "/other" || c.Instance != "i" {
		t.Errorf("%+v, %v, %v", c, warnings, err)
	}
}

func TestCaller(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/there" {
			http.Error(w, "nothing", http.StatusNotFound)
			return
		}
		w.Write([]byte(`{"Session":"` + r.Header.Get("InterLink-Http-Session") + `"}`))
	}))
	defer server.Close()
	c, err := Dial("tcp://" + server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var out struct{ Session string }
	if err := c.JSON(t.Context(), http.MethodGet, "/there", nil, &out); err != nil || out.Session != "kit" {
		t.Errorf("%+v, %v", out, err)
	}
	if err := c.JSON(t.Context(), http.MethodGet, "/elsewhere", nil, nil); err == nil || !strings.Contains(err.Error(), "404: nothing") {
		t.Errorf("error %v, want the code and the text", err)
	}
	if _, err := Dial("http://x"); err == nil {
		t.Error("http was taken for an address")
	}
}

func TestLog(t *testing.T) {
	l := &Log{}
	l.Write([]byte("one a\ntwo b\nthree a\n"))
	if got := l.Tail(2); got != "two b\nthree a" {
		t.Errorf("tail %q", got)
	}
	if got := l.About("a", ""); got != "one a\nthree a\n" {
		t.Errorf("about %q", got)
	}
}
