package api_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/api"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/interlink"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes"
	"github.com/intertwin-eu/interlink-docker-plugin/tests/certificates"
)

// asKubelet sends a request to the routes for Virtual Kubelets.
func asKubelet(s *api.Server, method, path, body string, headers ...string) *response {
	request := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	w := &response{ResponseRecorder: httptest.NewRecorder()}
	s.InterlinkHandler().ServeHTTP(w, request)
	return w
}

// recorded is a request as a Virtual Kubelet, or interLink's API server, sends it.
type recorded struct {
	Method, Path string
	Headers      map[string]string
	Body         json.RawMessage
}

func readRecorded(t *testing.T, name string) recorded {
	t.Helper()
	text, err := os.ReadFile("../interlink/testdata/" + name + ".json")
	if err != nil {
		t.Fatal(err)
	}
	var r recorded
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r recorded) replay(h http.Handler) *response {
	request := httptest.NewRequest(r.Method, r.Path, strings.NewReader(string(r.Body)))
	for name, value := range r.Headers {
		request.Header.Set(name, value)
	}
	w := &response{ResponseRecorder: httptest.NewRecorder()}
	h.ServeHTTP(w, request)
	return w
}

// TestBothAPIsAreOne: what a Virtual Kubelet sends reaches the pods as what interLink's
// API server makes of it, and is answered in the same way.
func TestBothAPIsAreOne(t *testing.T) {
	type reached struct {
		Pod  *v1.Pod
		Data volumes.Data
		UID  types.UID
	}
	var last reached
	s := readyServer(fakePods{
		create: func(_ context.Context, pod *v1.Pod, data volumes.Data) (string, error) {
			last = reached{Pod: pod.DeepCopy(), Data: data}
			return "jid", nil
		},
		delete: func(_ context.Context, uid types.UID, _ *int64) error {
			last = reached{UID: uid}
			return nil
		},
		status: func(pod *v1.Pod) (podstatus.Report, bool) {
			last = reached{Pod: pod}
			return podstatus.Report{JID: "jid", Containers: []v1.ContainerStatus{{Name: "c"}}}, true
		},
	})
	for name, other := range map[string]string{
		"create-hello-world": "create-hello-world", "create-full-pod": "create-full-pod", "create-restart-always": "create-restart-always",
		"create-with-pvc": "create-with-pvc", "status-running-pod": "status-running-pod", "delete-hello-world": "delete-hello-world",
		"pinglink": "ping", "getlogs-follow": "getlogs-follow",
	} {
		t.Run(name, func(t *testing.T) {
			last = reached{}
			want := readRecorded(t, "wire/"+other).replay(s.Handler())
			wanted := last
			last = reached{}
			got := readRecorded(t, "virtualkubelet/"+name).replay(s.InterlinkHandler())
			if got.Code != want.Code || got.Body.String() != want.Body.String() {
				t.Errorf("a Virtual Kubelet is answered %d %q, an API server %d %q", got.Code, got.Body, want.Code, want.Body)
			}
			if diff := cmp.Diff(want.Header(), got.Header()); diff != "" {
				t.Errorf("headers (-API server +Virtual Kubelet):\n%s", diff)
			}
			if diff := cmp.Diff(wanted, last); diff != "" {
				t.Errorf("the pods are asked (-API server +Virtual Kubelet):\n%s", diff)
			}
		})
	}
}

// TestVirtualKubeletRoutes: what interLink's API server answers and a plugin does not.
func TestVirtualKubeletRoutes(t *testing.T) {
	s := readyServer(fakePods{})
	wantAnswer(t, asKubelet(s, "GET", "/status", "[]"), 200, "[]")
	wantAnswer(t, asKubelet(s, "GET", "/status", "null"), 200, "[]")
	wantAnswer(t, asKubelet(s, "POST", "/pinglink", ""), 200, `{"status":"ok"}`)
	wantAnswer(t, asKubelet(s, "POST", "/updateCache", `{"metadata":{"uid":"`+uid+`"}}`), 200, "")
	wantAnswer(t, asKubelet(s, "GET", "/healthz", ""), 200, "ok")
	for _, body := range []string{"[" + createBody + "]", createBody} {
		wantAnswer(t, asKubelet(s, "POST", "/create", body), 400, "one object with pod, configmaps, secrets and projectedvolumesmaps")
	}
	wantAnswer(t, asKubelet(s, "POST", "/pinglink", "", "Origin", "https://evil.example"), 403, "web pages may not")
	// A plugin has no such routes.
	for _, path := range []string{"/pinglink", "/updateCache"} {
		wantAnswer(t, call(s, "POST", path, nil), 404, "")
	}
	// Before earlier pods are taken over, the node is there and pods are not spoken of.
	early := newServer()
	wantAnswer(t, asKubelet(early, "POST", "/pinglink", ""), 200, `"ok"`)
	wantAnswer(t, asKubelet(early, "GET", "/status", `[{"metadata":{"uid":"u"}}]`), 503, "taking over")
}

// TestVirtualKubeletToken: each of the two addresses has its own.
func TestVirtualKubeletToken(t *testing.T) {
	only := func(want string) func(string) bool { return func(header string) bool { return header == want } }
	s := limited(fakePods{}, func(c *api.Config) {
		c.Plugin.Authorized, c.Interlink.Authorized = only("Bearer plugin"), only("Bearer kubelet")
	})
	for _, path := range []string{"/create", "/status", "/delete", "/getLogs", "/pinglink", "/updateCache"} {
		for _, header := range []string{"", "Bearer plugin", "Bearer kubelet2"} {
			wantAnswer(t, asKubelet(s, "POST", path, "{}", "Authorization", header), 401, "bearer token")
		}
	}
	wantAnswer(t, asKubelet(s, "POST", "/pinglink", "", "Authorization", "Bearer kubelet"), 200, `"ok"`)
	wantAnswer(t, call(s, "GET", "/status", strings.NewReader("[]"), "Authorization", "Bearer kubelet"), 401, "bearer token")
	wantAnswer(t, call(s, "GET", "/status", strings.NewReader("[]"), "Authorization", "Bearer plugin"), 200, `"ok"`)
}

// TestLimitsHoldForBoth: a call of one API takes the place of a call of the other.
func TestLimitsHoldForBoth(t *testing.T) {
	release, begun := make(chan struct{}), make(chan struct{}, 2)
	var let atomic.Int32
	s := limited(fakePods{delete: func(context.Context, types.UID, *int64) error {
		if let.Add(1) <= 2 { // one call and, as nobody follows a log, its place
			begun <- struct{}{}
			<-release
		}
		return nil
	}}, func(*api.Config) {})
	body := `{"metadata":{"uid":"` + uid + `"}}`
	done := make(chan struct{}, 2)
	go func() { call(s, "POST", "/delete", strings.NewReader(body)); done <- struct{}{} }()
	go func() { asKubelet(s, "DELETE", "/delete", body); done <- struct{}{} }()
	<-begun
	<-begun
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	request := httptest.NewRequestWithContext(ctx, "DELETE", "/delete", strings.NewReader(body))
	w := &response{ResponseRecorder: httptest.NewRecorder()}
	s.InterlinkHandler().ServeHTTP(w, request)
	if w.Code == 200 {
		t.Error("a third call is let in where two may be")
	}
	close(release)
	<-done
	<-done
}

// TestVirtualKubeletTLS: a caller without a certificate is refused in the handshake, one
// with it is answered, and its connection is closed after that.
func TestVirtualKubeletTLS(t *testing.T) {
	authority, stranger := certificates.New(t, "caller", nil), certificates.New(t, "caller", nil)
	server := certificates.New(t, "server", nil)
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM([]byte(authority.PEM()))
	config := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{server.Pair()}, ClientAuth: tls.RequireAndVerifyClientCert,
		ClientCAs: trusted, NextProtos: []string{"http/1.1"}}
	s := limited(fakePods{}, func(c *api.Config) { c.Interlink.TLS = config })
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.ServeInterlink(listener) }()
	defer func() {
		if err := s.Shutdown(t.Context()); err != nil || <-served != nil {
			t.Error("the server does not end well", err)
		}
	}()
	for name, c := range map[string]struct {
		shown []tls.Certificate
		want  bool
	}{
		"none": {nil, false}, "of another authority": {[]tls.Certificate{stranger.Pair()}, false}, "right": {[]tls.Certificate{authority.Pair()}, true},
	} {
		// With TLS 1.3 a client hears of the refusal after its own part of the handshake.
		conn, err := tls.Dial("tcp", listener.Addr().String(), &tls.Config{InsecureSkipVerify: true, Certificates: c.shown, MaxVersion: tls.VersionTLS12})
		if (err == nil) != c.want {
			t.Errorf("certificate %s: %v", name, err)
		}
		if err != nil {
			continue
		}
		if _, err := io.WriteString(conn, "POST /pinglink HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		var ping interlink.Ping
		if err := json.NewDecoder(answer.Body).Decode(&ping); err != nil || answer.StatusCode != 200 || !answer.Close {
			t.Errorf("answer %d %+v, %v, closed %t", answer.StatusCode, ping, err, answer.Close)
		}
		answer.Body.Close()
		conn.Close()
	}
}
