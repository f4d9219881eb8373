package probes

import (
	"net"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func TestDialerRefusesLoopback(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	tests := []struct {
		name, podIP string
		refused     bool
	}{
		{"pod elsewhere", "192.0.2.1", true},
		{"pod elsewhere, IPv6", "2001:db8::1", true},
		{"pod without address", "", true},
		{"pod on loopback", "127.0.0.1", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			conn, err := dialer(tt.podIP).DialContext(t.Context(), "tcp", l.Addr().String())
			if err == nil {
				conn.Close()
			}
			if refused := err != nil && strings.Contains(err.Error(), "is refused: it is not in the pod"); refused != tt.refused {
				t.Errorf("refused: got %v (%v), want %v", refused, err, tt.refused)
			}
		})
	}
}

func TestRequestURL(t *testing.T) {
	tests := []struct {
		name, podIP string
		action      v1.HTTPGetAction
		want        string
	}{
		{"defaults", "10.0.0.1", v1.HTTPGetAction{}, "http://10.0.0.1:80"},
		{"IPv6", "2001:db8::1", v1.HTTPGetAction{Path: "/healthz"}, "http://[2001:db8::1]:80/healthz"},
		{"host and scheme", "10.0.0.1", v1.HTTPGetAction{Path: "/", Host: "db.example", Scheme: v1.URISchemeHTTPS}, "https://db.example:80/"},
		{"query and escapes", "10.0.0.1", v1.HTTPGetAction{Path: "/a%2Fb?x=1&y=%20"}, "http://10.0.0.1:80/a%2Fb?x=1&y=%20"},
		{"no slash", "10.0.0.1", v1.HTTPGetAction{Path: "healthz"}, "http://10.0.0.1:80/healthz"},
		{"bad escape", "10.0.0.1", v1.HTTPGetAction{Path: "/%zz"}, "http://10.0.0.1:80/%25zz"},
		{"path that looks like a server", "10.0.0.1", v1.HTTPGetAction{Path: "//evil.example/x"}, "http://10.0.0.1:80//evil.example/x"},
		{"path that looks like an address", "10.0.0.1", v1.HTTPGetAction{Path: "http://evil.example/"}, "http://10.0.0.1:80/http://evil.example/"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tgt := Target{PodIP: func() string { return tt.podIP }, Container: &v1.Container{Name: "c"}}
			tt.action.Port = intstr.FromInt32(80)
			req, err := tgt.request(t.Context(), &tt.action, "probe")
			if err != nil {
				t.Fatal(err)
			}
			if got := req.URL.String(); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestTransportIgnoresProxiesAndKeepsNothing(t *testing.T) {
	tgt := Target{PodIP: func() string { return "10.0.0.1" }, Container: &v1.Container{Name: "c"}}
	tr := tgt.transport(&v1.HTTPGetAction{})
	if tr.Proxy != nil {
		t.Error("the transport may use a proxy")
	}
	if !tr.DisableKeepAlives {
		t.Error("the transport keeps connections")
	}
}

func TestOutputKeepsTheBeginning(t *testing.T) {
	var out output
	for _, letter := range []string{"a", "b", "c"} {
		if n, err := out.Write([]byte(strings.Repeat(letter, 6<<10))); n != 6<<10 || err != nil {
			t.Fatalf("wrote %d bytes: %v", n, err)
		}
	}
	if want := strings.Repeat("a", 6<<10) + strings.Repeat("b", 4<<10); out.String() != want {
		t.Errorf("kept %d bytes, want %d", len(out.String()), len(want))
	}
}
