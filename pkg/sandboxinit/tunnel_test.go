package sandboxinit

import (
	"encoding/json"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/inittest"
)

// actTunnel has the test's binary be the program of a tunnel.
const actTunnel = "SANDBOXINIT_TUNNEL"

// standInTunnel tells as its error what was wished for, and what of that others could see.
func standInTunnel() int {
	conn, err := net.FileConn(os.NewFile(initapi.TunnelSocket, "init"))
	if err != nil {
		return 3
	}
	in := json.NewDecoder(conn)
	var wish initapi.Tunnel
	if err := in.Decode(&wish); err != nil {
		return 4
	}
	seen := strings.Join(append(os.Args, os.Environ()...), " ")
	for {
		var question struct{}
		if err := in.Decode(&question); err != nil {
			return 0
		}
		switch wish.PathPrefix {
		case "hang":
			select {}
		case "crash":
			return 5
		}
		state := initapi.TunnelState{Wanted: true, Up: !strings.Contains(seen, wish.PathPrefix), Error: wish.Server, Reconnections: 2, Sent: int64(os.Getpid())}
		if err := json.NewEncoder(conn).Encode(state); err != nil {
			return 6
		}
	}
}

func newTunnels(t *testing.T) *tunnels {
	t.Helper()
	t.Setenv(actTunnel, "1")
	out := &tunnels{children: newChildren(), program: "/proc/self/exe"}
	t.Cleanup(func() {
		out.mu.Lock()
		defer out.mu.Unlock()
		if out.run != nil {
			close(out.run.over)
			<-out.run.ended
		}
	})
	return out
}

func wishOf(server, prefix string) initapi.Tunnel {
	return initapi.Tunnel{Server: server, PathPrefix: prefix, Reverse: []initapi.Reverse{{Listen: "0.0.0.0:80", Target: "localhost:80"}}}
}

func mustWant(t *testing.T, all *tunnels, wish initapi.Tunnel) {
	t.Helper()
	if err := all.want(wish); err != nil {
		t.Fatal(err)
	}
}

// processOf is the process of the tunnel, once it is up.
func processOf(t *testing.T, all *tunnels, server string) (pid int) {
	t.Helper()
	inittest.Poll(t, "the tunnel to "+server+" is up", func() bool {
		state := all.state()
		pid = int(state.Sent)
		return state.Up && state.Error == server
	})
	return pid
}

func TestTunnelStarts(t *testing.T) {
	if !inittest.Isolated(t, 0) {
		return
	}
	all := newTunnels(t)
	if state := all.state(); state != (initapi.TunnelState{}) {
		t.Errorf("before a wish the state is %+v", state)
	}
	mustWant(t, all, wishOf("ws://a:1", "s3cret"))
	first := processOf(t, all, "ws://a:1")
	// The same again is no change.
	mustWant(t, all, wishOf("ws://a:1", "s3cret"))
	if again := processOf(t, all, "ws://a:1"); again != first {
		t.Errorf("the same wish started process %d after %d", again, first)
	}
	if state := all.state(); state.Starts != 1 || state.Reconnections != 2 {
		t.Errorf("the state is %+v", state)
	}
	// Another takes its place, after it has ended.
	mustWant(t, all, wishOf("ws://b:1", "s3cret"))
	second := processOf(t, all, "ws://b:1")
	if err := unix.Kill(first, 0); second == first || err == nil {
		t.Errorf("process %d still runs beside %d", first, second)
	}
}

func TestTunnelIsStartedAgain(t *testing.T) {
	if !inittest.Isolated(t, 0) {
		return
	}
	all := newTunnels(t)
	mustWant(t, all, wishOf("ws://a:1", "s3cret"))
	first := processOf(t, all, "ws://a:1")
	if err := unix.Kill(first, unix.SIGKILL); err != nil {
		t.Fatal(err)
	}
	inittest.Poll(t, "its end is told", func() bool {
		state := all.state()
		return !state.Up && strings.Contains(state.Error, "started again") && state.Wanted
	})
	if second := processOf(t, all, "ws://a:1"); second == first {
		t.Error("the process is the same")
	}
	if state := all.state(); state.Starts != 2 || state.Reconnections != 4 {
		t.Errorf("the state is %+v", state)
	}
}

// TestTunnelEndsAtOnce: one that never works is tried at its pace, and another wish takes
// its place.
func TestTunnelEndsAtOnce(t *testing.T) {
	if !inittest.Isolated(t, 0) {
		return
	}
	all := newTunnels(t)
	mustWant(t, all, wishOf("ws://a:1", "crash"))
	began := time.Now()
	inittest.Poll(t, "it is started for the third time", func() bool { return all.state().Starts >= 3 })
	if took := time.Since(began); took < 2*tunnelAgain {
		t.Errorf("three starts took %s", took)
	}
	mustWant(t, all, wishOf("ws://b:1", "s3cret"))
	processOf(t, all, "ws://b:1")
}

// TestTunnelHangs: a process that does not answer is ended, and replaced.
func TestTunnelHangs(t *testing.T) {
	if !inittest.Isolated(t, 0) {
		return
	}
	all := newTunnels(t)
	mustWant(t, all, wishOf("ws://a:1", "hang"))
	inittest.Poll(t, "it is started again", func() bool { return all.state().Starts >= 2 })
	mustWant(t, all, wishOf("ws://b:1", "s3cret"))
	processOf(t, all, "ws://b:1")
}

func TestTunnelIsRefused(t *testing.T) {
	wantError(t, ask(t, &server{}, `{"op":"tunnel","tunnel":{"server":"http://a:1"}}`), initapi.KindInvalid, "neither ws://")
	wish, err := json.Marshal(wishOf("ws://a:1", "s3cret"))
	if err != nil {
		t.Fatal(err)
	}
	wantError(t, ask(t, &server{}, `{"op":"tunnel","tunnel":`+string(wish)+`}`), initapi.KindMissing, "without the cluster's network")
	wantError(t, ask(t, &server{}, `{"op":"tunnel"}`), initapi.KindUnknown, "")
	if answer := ask(t, &server{}, `{"op":"tunnelState"}`); answer.Error != nil || answer.Tunnel == nil || *answer.Tunnel != (initapi.TunnelState{}) {
		t.Errorf("the state without a wish is %+v", answer)
	}
}
