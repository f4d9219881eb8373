package initapi

import (
	"encoding/json"
	"io"
	"net"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
)

// TestTunnelCalls: what both send, and what they make of the answer.
func TestTunnelCalls(t *testing.T) {
	asked := make(chan Request, 1)
	answering := func(answer string) *Client {
		return serve(t, func(conn net.Conn) {
			var got Request
			if err := json.NewDecoder(conn).Decode(&got); err != nil {
				t.Error(err)
			}
			asked <- got
			_, _ = io.WriteString(conn, answer)
		})
	}
	client := answering(`{"tunnel":{"wanted":true,"up":true,"changed":"2026-01-02T03:04:05Z","received":5,"sent":6,"reconnections":7,"starts":8}}`)
	wish := Tunnel{Server: "ws://h:80", PathPrefix: "secret", Reverse: []Reverse{{Listen: "0.0.0.0:80", Target: "localhost:80"}},
		WireGuard: &WireGuard{Interface: "wg0", MTU: 1280}}
	if err := client.OpenTunnel(t.Context(), wish); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Request{Version: Version, Op: OpTunnel, Tunnel: &wish}, <-asked); diff != "" {
		t.Errorf("OpenTunnel() sent (-want +got):\n%s", diff)
	}
	state, err := client.TunnelState(t.Context())
	want := TunnelState{Wanted: true, Up: true, Changed: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Received: 5, Sent: 6, Reconnections: 7, Starts: 8}
	if diff := cmp.Diff(want, state); err != nil || diff != "" {
		t.Errorf("TunnelState() = %v (-want +got):\n%s", err, diff)
	}
	if got := <-asked; got.Op != OpTunnelState {
		t.Errorf("TunnelState() sent %+v", got)
	}
	if state, err := answering(`{"version":1}`).TunnelState(t.Context()); !errdefs.IsUnknown(err) {
		t.Errorf("TunnelState() of an answer without one = %+v, %v", state, err)
	}
}
