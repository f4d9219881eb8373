package tunnel

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/tests/clusterpeer"
)

const within = 30 * time.Second

// key is one of WireGuard's, by its first byte.
func key(first byte) string {
	raw := make([]byte, 32)
	raw[0] = first
	return base64.StdEncoding.EncodeToString(raw)
}

// meshWish is good.
func meshWish() initapi.Tunnel {
	return initapi.Tunnel{Server: "ws://h:80", PathPrefix: "s3cret", WireGuard: &initapi.WireGuard{Interface: "wg0", PrivateKey: key(1), PeerKey: key(2),
		Addresses: []string{"10.7.0.2/32"}, AllowedIPs: []string{"10.7.0.1/32", "10.1.2.3/8"}, Routes: []string{"10.7.0.0/16"}, Remote: "127.0.0.1:51820",
		MTU: 1280, KeepaliveSeconds: 25}}
}

func TestSettings(t *testing.T) {
	got, err := settings(*meshWish().WireGuard)
	if err != nil {
		t.Fatal(err)
	}
	want := "private_key=01" + strings.Repeat("00", 31) + "\nreplace_peers=true\npublic_key=02" + strings.Repeat("00", 31) +
		"\nendpoint=server\npersistent_keepalive_interval=25\nreplace_allowed_ips=true\nallowed_ip=10.7.0.1/32\nallowed_ip=10.0.0.0/8\n"
	if got != want {
		t.Errorf("settings() = %s, want %s", got, want)
	}
}

func TestHostileWishes(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(*initapi.Tunnel)
		words string
	}{
		"scheme":                {func(w *initapi.Tunnel) { w.Server = "http://h:80" }, "neither ws://"},
		"server with a path":    {func(w *initapi.Tunnel) { w.Server = "ws://h:80/x" }, "more than a host"},
		"server with a newline": {func(w *initapi.Tunnel) { w.Server = "ws://h:80\r\nX: y" }, "no URL"},
		"long server":           {func(w *initapi.Tunnel) { w.Server = "ws://" + strings.Repeat("h", 1000) }, "too long"},
		"no prefix":             {func(w *initapi.Tunnel) { w.PathPrefix = "" }, "pathPrefix"},
		"prefix with a space":   {func(w *initapi.Tunnel) { w.PathPrefix = "a b" }, "path prefix"},
		"CAs":                   {func(w *initapi.Tunnel) { w.CAs = "x" }, "no certificate"},
		"proxy":                 {func(w *initapi.Tunnel) { w.Proxy = "ftp://h" }, "the proxy"},
		"own":                   {func(w *initapi.Tunnel) { w.Own = []string{"10.0.0.1"} }, "own"},
		"nothing":               {func(w *initapi.Tunnel) { w.WireGuard = nil }, "neither a port nor a mesh"},
		"reverse port":          {func(w *initapi.Tunnel) { w.Reverse = []initapi.Reverse{{Listen: "h:0", Target: "h:1"}} }, "reverse"},
		"reverse target":        {func(w *initapi.Tunnel) { w.Reverse = []initapi.Reverse{{Listen: "h:1", Target: "h"}} }, "reverse"},
		"many ports":            {func(w *initapi.Tunnel) { w.Reverse = make([]initapi.Reverse, 200) }, "more than 128"},
		"private key":           {func(w *initapi.Tunnel) { w.WireGuard.PrivateKey = "AAAA" }, "privateKey"},
		"key with a newline":    {func(w *initapi.Tunnel) { w.WireGuard.PeerKey = "\n" + w.WireGuard.PeerKey }, "peerKey"},
		"interface":             {func(w *initapi.Tunnel) { w.WireGuard.Interface = "wg%d" }, "interface"},
		"interface lo":          {func(w *initapi.Tunnel) { w.WireGuard.Interface = "lo" }, "interface"},
		"long interface":        {func(w *initapi.Tunnel) { w.WireGuard.Interface = "wg01234567890123" }, "interface"},
		"no address":            {func(w *initapi.Tunnel) { w.WireGuard.Addresses = nil }, "addresses"},
		"address":               {func(w *initapi.Tunnel) { w.WireGuard.Addresses = []string{"10.7.0.2"} }, "addresses"},
		"allowed":               {func(w *initapi.Tunnel) { w.WireGuard.AllowedIPs = []string{"x"} }, "allowedIPs"},
		"default route":         {func(w *initapi.Tunnel) { w.WireGuard.Routes = []string{"0.0.0.0/0"} }, "covers too much"},
		"half of it":            {func(w *initapi.Tunnel) { w.WireGuard.Routes = []string{"128.0.0.0/1"} }, "covers too much"},
		"default route 6":       {func(w *initapi.Tunnel) { w.WireGuard.Routes = []string{"::/0"} }, "covers too much"},
		"mapped route":          {func(w *initapi.Tunnel) { w.WireGuard.Routes = []string{"::ffff:0.0.0.0/96"} }, "routes"},
		"remote":                {func(w *initapi.Tunnel) { w.WireGuard.Remote = "h:1\nprivate_key=0" }, "remote"},
		"small MTU":             {func(w *initapi.Tunnel) { w.WireGuard.MTU = 575 }, "mtu"},
		"large MTU":             {func(w *initapi.Tunnel) { w.WireGuard.MTU = 65536 }, "mtu"},
		"keepalive":             {func(w *initapi.Tunnel) { w.WireGuard.KeepaliveSeconds = -1 }, "keepalive"},
	} {
		wish := meshWish()
		c.spoil(&wish)
		if _, err := New(wish, nil); err == nil || !strings.Contains(err.Error(), c.words) || strings.Contains(err.Error(), wish.PathPrefix) && wish.PathPrefix != "" {
			t.Errorf("%s: New() = %v, want %q", name, err, c.words)
		}
	}
	if _, err := New(meshWish(), nil); err != nil {
		t.Error(err)
	}
}

// serve runs a tunnel as its program does.
func serve(t *testing.T, wish any, settled func() error) (ask func() (initapi.TunnelState, error), ended <-chan error) {
	t.Helper()
	ours, theirs := net.Pipe()
	result := make(chan error, 1)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); result <- Serve(ctx, theirs, settled) }()
	t.Cleanup(func() {
		cancel()
		ours.Close()
		<-done
	})
	_ = ours.SetDeadline(time.Now().Add(within))
	if err := json.NewEncoder(ours).Encode(wish); err != nil {
		t.Fatal(err)
	}
	in := json.NewDecoder(ours)
	return func() (out initapi.TunnelState, err error) {
		if _, err := ours.Write([]byte("{}\n")); err != nil {
			return out, err
		}
		return out, in.Decode(&out)
	}, result
}

// TestServe: ports wait at the server, rights are given up, and the end of the init is
// that of the tunnel.
func TestServe(t *testing.T) {
	s := &clusterpeer.Server{Prefix: "s3cret"}
	if err := s.Start("127.0.0.1:0", nil); err != nil {
		t.Fatal(err)
	}
	defer s.Stop()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	listen := listener.Addr().String()
	listener.Close()
	dropped := make(chan bool, 1)
	ask, _ := serve(t, initapi.Tunnel{Server: "ws://" + s.Address(), PathPrefix: "s3cret", Reverse: []initapi.Reverse{{Listen: listen, Target: "localhost:9"}}},
		func() error { dropped <- true; return nil })
	for end := time.Now().Add(within); ; time.Sleep(5 * time.Millisecond) {
		state, err := ask()
		if err != nil || time.Now().After(end) {
			t.Fatalf("the state is %+v, %v", state, err)
		}
		if state.Up {
			break
		}
	}
	if s.Waiting(listen) != 1 || len(dropped) != 1 {
		t.Errorf("%d requests wait, rights were given up %d times", s.Waiting(listen), len(dropped))
	}
}

// TestServeABadWish: the process stays, and says what is wrong.
func TestServeABadWish(t *testing.T) {
	ask, _ := serve(t, initapi.Tunnel{Server: "ws://h:80", PathPrefix: "a b", Reverse: []initapi.Reverse{{Listen: "h:1", Target: "h:1"}}}, nil)
	for range 2 {
		if state, err := ask(); err != nil || state.Up || !state.Wanted || !strings.Contains(state.Error, "path prefix") {
			t.Errorf("the state is %+v, %v", state, err)
		}
	}
}

// TestServeEnds where the process could not give up its rights, or is sent no wish.
func TestServeEnds(t *testing.T) {
	stuck := errors.New("rights stay")
	_, ended := serve(t, initapi.Tunnel{Server: "ws://127.0.0.1:9", PathPrefix: "s", Reverse: []initapi.Reverse{{Listen: "h:1", Target: "h:1"}}}, func() error { return stuck })
	if err := <-ended; !errors.Is(err, stuck) {
		t.Errorf("Serve() = %v", err)
	}
	_, ended = serve(t, 7, nil)
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "read the wish") {
		t.Errorf("Serve() = %v", err)
	}
}

func TestNetOf(t *testing.T) {
	for _, text := range []string{"10.7.0.0/16", "fd00::/64"} {
		if got := netOf(netip.MustParsePrefix(text)).String(); got != text {
			t.Errorf("netOf(%s) = %s", text, got)
		}
	}
}
