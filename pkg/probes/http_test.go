package probes_test

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/probes"
)

func portOf(t *testing.T, address string) int {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func httpProbe(s *httptest.Server, t *testing.T, path string) *v1.Probe {
	t.Helper()
	a := &v1.HTTPGetAction{Path: path, Port: intstr.FromInt(portOf(t, s.URL))}
	if s.TLS != nil {
		a.Scheme = v1.URISchemeHTTPS
	}
	return &v1.Probe{ProbeHandler: v1.ProbeHandler{HTTPGet: a}, TimeoutSeconds: 10}
}

// site answers /code/N with N, and has pages that redirect.
func site(w http.ResponseWriter, r *http.Request) {
	if code, ok := strings.CutPrefix(r.URL.Path, "/code/"); ok {
		n, _ := strconv.Atoi(code)
		w.WriteHeader(n)
		fmt.Fprint(w, "secret page")
		return
	}
	switch r.URL.Path {
	case "/home":
		http.Redirect(w, r, "/code/200", http.StatusFound)
	case "/broken":
		http.Redirect(w, r, "/code/500", http.StatusFound)
	case "/away":
		http.Redirect(w, r, "http://192.0.2.1/code/500", http.StatusFound)
	case "/loop":
		http.Redirect(w, r, "/loop", http.StatusFound)
	case "/short":
		w.Header().Set("Content-Length", "100")
		fmt.Fprint(w, "less")
	case "/long":
		page := make([]byte, 1<<20)
		w.Write(page)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
}

func TestProbeHTTP(t *testing.T) {
	tests := []struct {
		path    string
		outcome probes.Outcome
		message string
	}{
		{"/code/200", probes.Success, ""},
		{"/code/204", probes.Success, ""},
		{"/code/399", probes.Success, "status code 399"},
		{"/code/400?token=hidden", probes.Failure, "/code/400: answered with status code 400"},
		{"/code/503", probes.Failure, "answered with status code 503"},
		{"/home", probes.Success, ""},
		{"/broken", probes.Failure, "status code 500"},
		{"/away", probes.Success, "a redirect that was not followed"},
		{"/loop", probes.Failure, "stopped after 10 redirects"},
		{"/short", probes.Failure, "read the answer: unexpected EOF"},
		{"/long", probes.Success, ""},
		{"/none", probes.Failure, "status code 404"},
	}
	servers := map[string]*httptest.Server{
		"http":  httptest.NewServer(http.HandlerFunc(site)),
		"https": httptest.NewTLSServer(http.HandlerFunc(site)),
	}
	for scheme, s := range servers {
		t.Cleanup(s.Close)
		for _, tt := range tests {
			t.Run(scheme+tt.path, func(t *testing.T) {
				got := target("127.0.0.1", nil).Probe(t.Context(), httpProbe(s, t, tt.path))
				wantResult(t, got, tt.outcome, tt.message)
				for _, hidden := range []string{"secret", "hidden"} {
					if strings.Contains(got.Message, hidden) {
						t.Errorf("message %q shows %q", got.Message, hidden)
					}
				}
			})
		}
	}
}

func TestProbeHTTPRequest(t *testing.T) {
	type seen struct{ Method, Host, Path, Agent, Accept, Encoding, Custom string }
	var got seen
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got = seen{r.Method, r.Host, r.URL.RequestURI(), r.UserAgent(), r.Header.Get("Accept"),
			r.Header.Get("Accept-Encoding"), strings.Join(r.Header.Values("X-Custom"), ",")}
	}))
	t.Cleanup(s.Close)

	port := portOf(t, s.URL)
	tests := []struct {
		name    string
		headers []v1.HTTPHeader
		want    seen
	}{
		{"defaults", nil, seen{"GET", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), "/x?y=1",
			"kube-probe/1.37", "*/*", "", ""}},
		{"own headers", []v1.HTTPHeader{
			{Name: "host", Value: "shop.example"}, {Name: "user-agent", Value: "mine"}, {Name: "Accept", Value: ""},
			{Name: "X-Custom", Value: "a"}, {Name: "x-custom", Value: "b"},
		}, seen{"GET", "shop.example", "/x?y=1", "mine", "", "", "a,b"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := httpProbe(s, t, "/x?y=1")
			p.HTTPGet.Port = intstr.FromString("web")
			p.HTTPGet.HTTPHeaders = tt.headers
			tgt := target("127.0.0.1", nil, v1.ContainerPort{Name: "web", ContainerPort: int32(port)})
			wantResult(t, tgt.Probe(t.Context(), p), probes.Success, "")
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("request (-want +got):\n%s", diff)
			}
		})
	}
}

func TestProbeHTTPTimeout(t *testing.T) {
	release := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/stalls" {
			w.WriteHeader(http.StatusOK)
			w.(http.Flusher).Flush()
		}
		<-release
	}))
	t.Cleanup(s.Close)
	t.Cleanup(func() { close(release) })
	for _, path := range []string{"/silent", "/stalls"} {
		t.Run(path, func(t *testing.T) {
			p := httpProbe(s, t, path)
			p.TimeoutSeconds = 1
			wantResult(t, target("127.0.0.1", nil).Probe(t.Context(), p), probes.Failure, "timed out after 1s")
		})
	}
}

func TestProbeHTTPProtocol(t *testing.T) {
	var protocol string
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { protocol = r.Proto }))
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(s.Close)
	for selected, want := range map[v1.HTTPProtocol]string{
		v1.HTTPProtocolHTTP1: "HTTP/1.1",
		v1.HTTPProtocolHTTP2: "HTTP/2.0",
	} {
		t.Run(string(selected), func(t *testing.T) {
			p := httpProbe(s, t, "/")
			p.HTTPGet.Protocol = &selected
			wantResult(t, target("127.0.0.1", nil).Probe(t.Context(), p), probes.Success, "")
			if protocol != want {
				t.Errorf("protocol: got %s, want %s", protocol, want)
			}
		})
	}
}

func TestProbeHTTPClosedPort(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	p := httpProbe(s, t, "/?token=hidden")
	s.Close()
	got := target("127.0.0.1", nil).Probe(t.Context(), p)
	wantResult(t, got, probes.Failure, "connection refused")
	if strings.Contains(got.Message, "hidden") {
		t.Errorf("message %q shows the query", got.Message)
	}
}
