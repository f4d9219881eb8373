package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/api"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/images"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/interlink"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pods"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes"
)

func TestIdleConnectionsOutliveTheCallers(t *testing.T) {
	server := newServer().HTTPServer()
	if server.IdleTimeout <= 120*time.Second || server.ReadHeaderTimeout <= 0 || server.ReadTimeout != 0 || server.WriteTimeout != 0 {
		t.Errorf("limits idle %s, header %s, read %s, write %s: want idle above 120 s, a bound on headers, none on logs",
			server.IdleTimeout, server.ReadHeaderTimeout, server.ReadTimeout, server.WriteTimeout)
	}
}

func TestReadyz(t *testing.T) {
	troubles := []string{"the Docker engine has not answered yet", "second"}
	s := api.New(api.Config{Troubles: func() []string { return troubles }})
	wantAnswer(t, call(s, "GET", "/healthz", nil), 200, "ok\n")
	wantAnswer(t, call(s, "GET", "/readyz", nil), 503, "still taking over earlier pods\nthe Docker engine has not answered yet\nsecond\n")
	s.Ready(fakePods{})
	if got := call(s, "GET", "/readyz", nil); got.Code != 503 || got.Body.String() != "the Docker engine has not answered yet\nsecond\n" {
		t.Errorf("answer %d %q", got.Code, got.Body)
	}
	troubles = nil
	if got := call(s, "GET", "/readyz", nil); got.Code != 200 || got.Body.String() != "ok\n" {
		t.Errorf("answer %d %q of a ready node", got.Code, got.Body)
	}
}

// A process that cannot ask its pods any more is not well.
func TestHealthzAsksThePods(t *testing.T) {
	asked := make(chan struct{}, 1)
	s := api.New(api.Config{Troubles: func() []string { return nil }})
	wantAnswer(t, call(s, "GET", "/healthz", nil), 200, "ok\n")
	if len(asked) != 0 {
		t.Error("the pods were asked before there are any")
	}
	s.Ready(fakePods{count: func() { asked <- struct{}{} }})
	wantAnswer(t, call(s, "GET", "/healthz", nil), 200, "ok\n")
	if len(asked) != 1 {
		t.Error("the pods were not asked")
	}
}

// systemd's watchdog asks the pods without a connection, and one question that is not
// answered is not followed by others.
func TestAliveIsOfThePods(t *testing.T) {
	var asked atomic.Int32
	answer := make(chan struct{})
	s := api.New(api.Config{})
	if err := s.Alive(t.Context()); err != nil || asked.Load() != 0 {
		t.Errorf("before there are pods: %v, asked %d times", err, asked.Load())
	}
	s.Ready(fakePods{count: func() { asked.Add(1); <-answer }})
	for range 3 {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if err := s.Alive(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("pods that are stuck: %v", err)
		}
		cancel()
	}
	if asked.Load() != 1 {
		t.Errorf("pods that are stuck were asked %d times", asked.Load())
	}
	close(answer)
	if err := s.Alive(t.Context()); err != nil {
		t.Error(err)
	}
}

func socketPath(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "api")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "s")
}

func TestListenOnASocket(t *testing.T) {
	path := socketPath(t)
	first, err := api.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != os.ModeSocket|0o600 {
		t.Errorf("socket %v, %v, want mode 0600", info.Mode(), err)
	}
	if second, err := api.Listen("unix", path); err == nil || !strings.Contains(err.Error(), "another process serves socket "+path) {
		t.Errorf("Listen() on a socket that is served = %v, %v", second, err)
	}
	// What a crash leaves: the file, and nobody behind it.
	first.(*net.UnixListener).SetUnlinkOnClose(false)
	first.Close()
	again, err := api.Listen("unix", path)
	if err != nil {
		t.Fatalf("Listen() on a stale socket: %v", err)
	}
	if info, err := os.Stat(path); err != nil || info.Mode() != os.ModeSocket|0o600 {
		t.Errorf("socket %v, %v, want mode 0600", info, err)
	}
	again.Close()
}

func TestListenRefuses(t *testing.T) {
	file := socketPath(t)
	if err := os.WriteFile(file, []byte("data"), 0o600); err != nil {
		t.Fatal(err)
	}
	link := socketPath(t)
	if err := os.Symlink(file, link); err != nil {
		t.Fatal(err)
	}
	for name, path := range map[string]string{"file": file, "link": link, "folder": filepath.Dir(file)} {
		t.Run(name, func(t *testing.T) {
			if l, err := api.Listen("unix", path); err == nil || !strings.Contains(err.Error(), "is not a socket") {
				t.Errorf("Listen() = %v, %v, want a refusal", l, err)
			}
			if _, err := os.Lstat(path); err != nil {
				t.Errorf("what was there is gone: %v", err)
			}
		})
	}
	if text, err := os.ReadFile(file); err != nil || string(text) != "data" {
		t.Errorf("the file was changed: %q, %v", text, err)
	}
	t.Run("no folder", func(t *testing.T) {
		if _, err := api.Listen("unix", filepath.Join(file+"-none", "s")); err == nil {
			t.Error("Listen() in a folder that is not there succeeded")
		}
	})
	t.Run("port in use", func(t *testing.T) {
		held, err := api.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer held.Close()
		if _, err := api.Listen("tcp", held.Addr().String()); err == nil || !strings.Contains(err.Error(), held.Addr().String()) {
			t.Errorf("Listen() on a port in use = %v, want an error that names it", err)
		}
	})
}

// serve answers on a free port until the test ends.
func serve(t testing.TB, s *api.Server) (url string) {
	t.Helper()
	listener, err := api.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(listener) }()
	t.Cleanup(func() {
		if err := s.Shutdown(context.Background()); err != nil {
			t.Errorf("Shutdown(): %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("Serve() = %v after Shutdown, want nil", err)
		}
		http.DefaultClient.CloseIdleConnections()
	})
	return "http://" + listener.Addr().String()
}

func TestBodyIsCutOff(t *testing.T) {
	url := serve(t, readyServer(fakePods{}))
	response, err := http.Post(url+"/create", "application/json", strings.NewReader(strings.Repeat("x", 4*maxBody)))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusRequestEntityTooLarge {
		t.Errorf("answer %d to a body that is too large", response.StatusCode)
	}
}

// slowDelete is a server whose one delete tells that it has begun, and ends when
// it is released.
func slowDelete() (s *api.Server, entered, release chan struct{}) {
	entered, release = make(chan struct{}), make(chan struct{})
	return readyServer(fakePods{delete: func(context.Context, types.UID, *int64) error {
		close(entered)
		<-release
		return nil
	}}), entered, release
}

func TestShutdownLetsCallsEnd(t *testing.T) {
	s, entered, release := slowDelete()
	url := serve(t, s)
	var calls sync.WaitGroup
	calls.Go(func() {
		response, err := http.Post(url+"/delete", "", strings.NewReader(`{"metadata":{"uid":"`+uid+`"}}`))
		if err != nil {
			t.Errorf("a call that had begun was cut off: %v", err)
			return
		}
		response.Body.Close()
	})
	<-entered
	down := make(chan error, 1)
	go func() { down <- s.Shutdown(context.Background()) }()
	// Once nobody is let in any more, the call must still be waited for.
	for address := strings.TrimPrefix(url, "http://"); ; {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			break
		}
		conn.Close()
	}
	select {
	case err := <-down:
		t.Errorf("Shutdown() = %v while a call was under way", err)
	default:
	}
	close(release)
	if err := <-down; err != nil {
		t.Errorf("Shutdown(): %v", err)
	}
	calls.Wait()
}

func TestShutdownEndsWithItsContext(t *testing.T) {
	s, entered, release := slowDelete()
	url := serve(t, s)
	var calls sync.WaitGroup
	calls.Go(func() {
		if response, err := http.Post(url+"/delete", "", strings.NewReader(`{"metadata":{"uid":"`+uid+`"}}`)); err == nil {
			response.Body.Close()
		}
	})
	<-entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Shutdown(ctx); err != nil {
		t.Errorf("Shutdown() whose time is up: %v", err)
	}
	close(release)
	calls.Wait()
}

// The parts that hold a pod back where its image, or its sandbox's, is looked for.
type (
	noEngine  struct{ sandbox.HostEngine }
	noImages  struct{ pods.Images }
	noDevices struct{ pods.Accelerators }
)

func (noEngine) List(context.Context, ...string) ([]engine.Container, error) { return nil, nil }
func (noEngine) RemoveNetwork(context.Context, string) error                 { return nil }
func (noEngine) CreateNetwork(context.Context, engine.NetworkSpec) error {
	return nil
}
func (noEngine) Create(context.Context, engine.Spec) (string, error) {
	return "", errdefs.ErrNotFound
}

func (noImages) Hold(string, string) {}
func (noImages) Drop(string)         {}
func (noImages) OnHost(ctx context.Context, _ images.Want) (engine.Image, error) {
	<-ctx.Done()
	return engine.Image{}, ctx.Err()
}

func (noDevices) Reserve(*v1.Pod) (json.RawMessage, error)            { return nil, nil }
func (noDevices) Release(string)                                      {}
func (noDevices) Health(string, string) ([]v1.ResourceStatus, string) { return nil, "" }

// startingPod is a node with one pod that has not started, so that its log is
// quiet, and a server for it.
func startingPod(t *testing.T) *api.Server {
	t.Helper()
	dir := t.TempDir()
	sandboxes := pool.New(pool.Config{Config: sandbox.Config{Dir: filepath.Join(dir, "sandboxes"), BootTimeout: time.Hour,
		RemoveFolder: func(_ context.Context, path string) error { return os.RemoveAll(path) },
		FetchImage:   func(ctx context.Context, _ string) error { <-ctx.Done(); return ctx.Err() }}}, noEngine{})
	t.Cleanup(sandboxes.Close)
	manager := pods.New(pods.Config{Dir: dir, MaxPods: 1}, sandboxes, noImages{}, noDevices{})
	t.Cleanup(manager.Close)
	if err := manager.Recover(t.Context(), sandboxes.Keep); err != nil {
		t.Fatal(err)
	}
	pod := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "n", UID: uid},
		Spec: v1.PodSpec{RestartPolicy: v1.RestartPolicyNever, Containers: []v1.Container{{Name: "c", Image: "i"}}}}
	if _, err := manager.Create(context.Background(), pod, volumes.Data{}); err != nil {
		t.Fatal(err)
	}
	return readyServer(manager)
}

// ask opens a log; its answer must come although the log is quiet.
func ask(t *testing.T, url string, follow bool) *http.Response {
	t.Helper()
	body, err := json.Marshal(interlink.LogRequest{PodUID: uid, Namespace: "n", ContainerName: "c", Opts: interlink.LogOptions{Follow: follow}})
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(t.Context(), "GET", url+"/getLogs", strings.NewReader(string(body)))
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { response.Body.Close() })
	return response
}

func TestQuietLog(t *testing.T) {
	response := ask(t, serve(t, startingPod(t)), false)
	text, err := io.ReadAll(response.Body)
	if response.StatusCode != 200 || err != nil || len(text) > 0 {
		t.Errorf("log of a container that has not started: %d %q, %v, want 200 and nothing", response.StatusCode, text, err)
	}
}

func TestFollow(t *testing.T) {
	s := startingPod(t)
	url := serve(t, s)
	// The headers come at once: waiting for the first byte would exceed the caller's 120 s.
	first := ask(t, url, true)
	if first.StatusCode != 200 || first.Header.Get("Content-Type") != "text/plain; charset=utf-8" {
		t.Errorf("answer %d of type %q", first.StatusCode, first.Header.Get("Content-Type"))
	}
	second := ask(t, url, true)
	over := ask(t, url, true)
	text, _ := bufio.NewReader(over.Body).ReadString('\n')
	if over.StatusCode != http.StatusTooManyRequests || !strings.Contains(text, "2 logs are followed already, as many as MaxLogFollowers allows") {
		t.Errorf("one follower too many: %d %q", over.StatusCode, text)
	}
	if plain := ask(t, url, false); plain.StatusCode != 200 {
		t.Errorf("answer %d to a log that is not followed while all followers are there", plain.StatusCode)
	}
	// One leaves, and another one is let in as soon as that is noticed.
	second.Body.Close()
	deadline := time.Now().Add(10 * time.Second)
	for next := ask(t, url, true); next.StatusCode != 200; next = ask(t, url, true) {
		if time.Now().After(deadline) {
			t.Fatalf("the place of a follower that left is not given to the next: %d", next.StatusCode)
		}
	}
	ended := make(chan error, 1)
	go func() {
		_, err := io.Copy(io.Discard, first.Body)
		ended <- err
	}()
	if err := s.Shutdown(t.Context()); err != nil {
		t.Errorf("Shutdown(): %v", err)
	}
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("a followed log goes on after Shutdown")
	}
}
