package api_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/api"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/interlink"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes"
)

// limited makes a server that is ready, with limits of its own.
func limited(p api.Pods, change func(*api.Config)) *api.Server {
	config := api.Config{MaxBody: maxBody, MaxFollowers: 1, MaxCalls: 1, MaxMemory: 2 * maxBody,
		Ping:     func() interlink.Ping { return interlink.Ping{Status: "ok"} },
		Troubles: func() []string { return []string{"the engine at /run/x.sock is away"} }}
	change(&config)
	s := api.New(config)
	s.Ready(p)
	return s
}

func TestToken(t *testing.T) {
	s := limited(fakePods{}, func(c *api.Config) {
		c.Plugin.Authorized = func(header string) bool { return header == "Bearer right" }
	})
	for _, route := range []string{"/create", "/status", "/delete", "/getLogs"} {
		for _, header := range []string{"", "Bearer wrong", "right"} {
			// The body is not read, so it may be anything.
			got := call(s, "POST", route, unread{t}, "Authorization", header)
			wantAnswer(t, got, 401, "bearer token (BearerTokenFile)")
			if got.Header().Get("WWW-Authenticate") != "Bearer" {
				t.Errorf("header %v", got.Header())
			}
		}
	}
	wantAnswer(t, call(s, "GET", "/status", strings.NewReader("[]"), "Authorization", "Bearer right"), 200, `"status":"ok"`)
	wantAnswer(t, call(s, "GET", "/healthz", nil), 200, "ok")
	if got := call(s, "GET", "/readyz", nil); got.Code != 503 || strings.Contains(got.Body.String(), "x.sock") {
		t.Errorf("/readyz without the token answers %d %q", got.Code, got.Body)
	}
	wantAnswer(t, call(s, "GET", "/readyz", nil, "Authorization", "Bearer right"), 503, "x.sock")
}

// unread is a body that must not be read.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}

// TestTooManyCalls: those beyond the limit wait, then get a sentence.
func TestTooManyCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		s := limited(fakePods{delete: func(context.Context, types.UID, *int64) error {
			<-release
			return nil
		}}, func(*api.Config) {})
		body := `{"metadata":{"uid":"` + uid + `"}}`
		var calls sync.WaitGroup
		for range 2 { // one call and, as nobody follows a log, its place
			calls.Go(func() { wantAnswer(t, call(s, "POST", "/delete", strings.NewReader(body)), 200, "") })
		}
		synctest.Wait()
		began := time.Now()
		wantAnswer(t, call(s, "POST", "/delete", strings.NewReader(body)), 503, "1 calls are under way, as many as MaxRequests allows; try again")
		if waited := time.Since(began); waited != api.QueueTimeout {
			t.Errorf("refused after %s, want %s", waited, api.QueueTimeout)
		}
		close(release)
		calls.Wait()
		wantAnswer(t, call(s, "POST", "/delete", strings.NewReader(body)), 200, "")
	})
}

// TestMemoryOfRequests: bodies share a memory, and calls for which there is none wait. In a
// larger one all of them are there at a time.
func TestMemoryOfRequests(t *testing.T) {
	const calls = 50
	text := `{"pod":{"metadata":{"annotations":{"a":"` + strings.Repeat("x", maxBody-100) + `"}}}}`
	for memory, want := range map[int64]int{2 * maxBody: 2, 10 * maxBody: 10, 1000 * maxBody: calls} {
		t.Run(fmt.Sprint(memory), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var inside atomic.Int64
				leave := make(chan struct{})
				s := limited(fakePods{create: func(_ context.Context, pod *v1.Pod, _ volumes.Data) (string, error) {
					inside.Add(1)
					<-leave
					return string(pod.UID), nil
				}}, func(c *api.Config) { c.MaxCalls, c.MaxMemory = 2*calls, memory })
				var group sync.WaitGroup
				for range calls {
					group.Go(func() { wantAnswer(t, call(s, "POST", "/create", strings.NewReader(text)), 200, "PodUID") })
				}
				synctest.Wait()
				if got := int(inside.Load()); got != want {
					t.Errorf("%d bodies of %d bytes at a time, want %d", got, len(text), want)
				}
				close(leave)
				group.Wait()
				if got := inside.Load(); got != calls {
					t.Errorf("%d of %d calls were let in", got, calls)
				}
			})
		})
	}
}

// TestMemoryIsNotHeldForEver: a caller that announces a large body takes nothing
// before it has sent a part of it; one that sends no more gives way to others.
func TestMemoryIsNotHeldForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := limited(fakePods{}, func(c *api.Config) { c.MaxCalls, c.MaxMemory = 10, maxBody })
		slow, pipe := io.Pipe()
		var calls sync.WaitGroup
		calls.Go(func() { call(s, "POST", "/create", slow) })
		synctest.Wait()
		wantAnswer(t, call(s, "GET", "/status", strings.NewReader("[]")), 200, "ok")
		if _, err := pipe.Write([]byte("{")); err != nil {
			t.Error(err)
		}
		synctest.Wait()
		wantAnswer(t, call(s, "GET", "/status", strings.NewReader("[]")), 503, "MaxRequestMemory")
		pipe.Close()
		calls.Wait()
		wantAnswer(t, call(s, "GET", "/status", strings.NewReader("[]")), 200, "ok")
	})
}

func TestAnnouncedSizeIsRefusedUnread(t *testing.T) {
	s := limited(fakePods{}, func(*api.Config) {})
	request, err := http.NewRequest("POST", "/create", unread{t})
	if err != nil {
		t.Fatal(err)
	}
	request.ContentLength = maxBody + 1
	wantAnswer(t, answer(s, request), 413, fmt.Sprintf("larger than %d bytes (MaxBodyBytes)", maxBody))
}

// TestLargeHeader: the server's own refusal, before any route.
func TestLargeHeader(t *testing.T) {
	address := strings.TrimPrefix(serve(t, readyServer(fakePods{})), "http://")
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = fmt.Fprintf(conn, "GET /healthz HTTP/1.1\r\nHost: x\r\nX: %s\r\n\r\n", strings.Repeat("x", 128<<10))
	answer := make([]byte, 64)
	if n, err := io.ReadFull(conn, answer[:12]); err != nil || string(answer[:n]) != "HTTP/1.1 431" {
		t.Errorf("answer %q, %v", answer[:n], err)
	}
}
