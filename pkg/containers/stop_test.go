package containers

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/sirupsen/logrus"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
)

// moody is a sandbox's engine that breaks off some calls, as one that dies does.
type moody struct {
	mu sync.Mutex
	// breaks is how many calls of a kind are broken off.
	breaks map[string]int
	// gone and ended are what it says of the container.
	gone, ended bool
	seen        []string
}

func (m *moody) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	m.mu.Lock()
	defer m.mu.Unlock()
	kind := r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]
	if kind == "_ping" {
		w.Header().Set("Api-Version", "1.41")
		return
	}
	m.seen = append(m.seen, kind)
	if m.breaks[kind] > 0 {
		m.breaks[kind]--
		panic(http.ErrAbortHandler)
	}
	w.Header().Set("Content-Type", "application/json")
	switch {
	case m.gone:
		http.Error(w, `{"message":"no such container"}`, http.StatusNotFound)
	case kind == "json" && m.ended:
		w.Write([]byte(`{"Id":"c","State":{"Status":"exited"}}`))
	case kind == "json":
		w.Write([]byte(`{"Id":"c","State":{"Status":"running"}}`))
	default:
		m.ended = true
		w.WriteHeader(http.StatusNoContent)
	}
}

// TestStopMeetsADeadEngine: a container is stopped although its engine is away at
// first, and it is told where it may run on.
func TestStopMeetsADeadEngine(t *testing.T) {
	const always = 1 << 30
	for name, c := range map[string]struct {
		engine *moody
		calls  []string
		fails  bool
	}{
		"all is well":           {engine: &moody{}, calls: []string{"json", "stop"}},
		"away when looked at":   {engine: &moody{breaks: map[string]int{"json": 2}}, calls: []string{"json", "json", "json", "stop"}},
		"away when it stops it": {engine: &moody{breaks: map[string]int{"stop": 1}}, calls: []string{"json", "stop", "stop"}},
		"it has ended":          {engine: &moody{ended: true}, calls: []string{"json"}},
		"it is gone":            {engine: &moody{gone: true}, calls: []string{"json"}},
		"away for good":         {engine: &moody{breaks: map[string]int{"json": always}}, fails: true},
		"away after the look":   {engine: &moody{breaks: map[string]int{"stop": always}}, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(c.engine)
			defer server.Close()
			client, err := engine.Connect("tcp://" + server.Listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer client.Close()
			p := podFor(plainPod())
			p.Statuses.SetInstance("main", "c")
			began := time.Now()
			err = p.StopAll(t.Context(), &sandbox.Sandbox{Engine: client}, 0)
			if (err != nil) != c.fails {
				t.Errorf("stopAll() = %v", err)
			}
			if took := time.Since(began); took > 2*engineReturns {
				t.Errorf("it took %s", took)
			}
			c.engine.mu.Lock()
			defer c.engine.mu.Unlock()
			if !c.fails && !slices.Equal(c.engine.seen, c.calls) {
				t.Errorf("calls %v, want %v", c.engine.seen, c.calls)
			}
		})
	}
}

// TestFailedPreStopIsDiscreet: the log tells that a hook has failed, and nothing that
// it wrote or that its command is called by.
func TestFailedPreStopIsDiscreet(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasSuffix(r.URL.Path, "/_ping") {
			http.Error(w, `{"message":"exec: MARK-argv0: not found"}`, http.StatusBadRequest)
		}
	}))
	defer server.Close()
	client, err := engine.Connect("tcp://" + server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	pod := plainPod()
	pod.Spec.Containers[0].Lifecycle = &v1.Lifecycle{PreStop: &v1.LifecycleHandler{Exec: &v1.ExecAction{Command: []string{"MARK-argv0"}}}}
	p, s := podFor(pod), &sandbox.Sandbox{Engine: client}
	hook := pod.Spec.Containers[0].Lifecycle.PreStop
	if err := p.target(s, &pod.Spec.Containers[0], "c").Hook(t.Context(), hook); err == nil || !strings.Contains(err.Error(), "MARK") {
		t.Fatalf("control: the hook's error is %v", err)
	}
	var text strings.Builder
	logger := logrus.New()
	logger.SetOutput(&text)
	p.runPreStop(log.WithLogger(t.Context(), logrus.NewEntry(logger)), s, &pod.Spec.Containers[0], "c", time.Second)
	if got := text.String(); !strings.Contains(got, "preStop hook failed") || strings.Contains(got, "MARK") {
		t.Errorf("the log says %q", got)
	}
}
