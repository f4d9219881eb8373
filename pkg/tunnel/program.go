// Package tunnel is the process that joins a sandbox to the network of a cluster. The
// init of the sandbox starts it and hands it the wish over a socket, never on its command
// line or in its environment; over the same socket the init asks for its state. It
// speaks with the cluster's wstunnel server, and runs WireGuard on a TUN device for the
// mesh. It outlives docker-sd, and ends with the sandbox.
package tunnel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"time"

	"golang.org/x/sys/unix"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// Main runs the program and returns its exit code.
func Main() int {
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT)
	defer stop()
	if err := runProgram(ctx); err != nil && ctx.Err() == nil {
		fmt.Fprintln(os.Stderr, "docker-sd-tunnel:", err)
		return 1
	}
	return 0
}

// The program carries packets for one pod, and should not be seen beside it. With two
// threads a transfer took half as much processor time again, because the collector ran
// beside it; with a limit of 64 MiB the process grew to 13 MB.
const (
	threads     = 1
	memoryLimit = 10 << 20
	heapGrowth  = 50 // per cent between two collections
)

// runProgram serves the init on the socket that this process was started with.
func runProgram(ctx context.Context) error {
	if err := hide(); err != nil {
		return err
	}
	runtime.GOMAXPROCS(threads)
	debug.SetGCPercent(heapGrowth)
	file := os.NewFile(initapi.TunnelSocket, "the init")
	if file == nil {
		return errors.New("the init has to start this program")
	}
	conn, err := net.FileConn(file)
	file.Close()
	if err != nil {
		return fmt.Errorf("speak with the init: %w", err)
	}
	defer conn.Close()
	return Serve(ctx, conn, dropRights)
}

// Serve reads a wish from a connection, keeps the tunnel that it asks for, and answers
// each further value with the tunnel's state, until the connection or ctx ends.
//
// settled is called once no right to change the network is needed any more.
func Serve(ctx context.Context, conn net.Conn, settled func() error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	in, out := json.NewDecoder(conn), json.NewEncoder(conn)
	var wish initapi.Tunnel
	if err := in.Decode(&wish); err != nil {
		return fmt.Errorf("read the wish: %w", err)
	}
	if len(wish.Reverse) == 0 {
		// What WireGuard keeps is bounded; what many open connections need is not, and a
		// limit below that would have the collector run all the time.
		debug.SetMemoryLimit(memoryLimit)
	}
	t, err := New(wish, settled)
	if err != nil {
		// It will never succeed: the process stays, to say so.
		began := time.Now()
		answerStates(in, out, func() initapi.TunnelState {
			return initapi.TunnelState{Wanted: true, Changed: began, Error: err.Error()}
		})
		return nil
	}
	ended := make(chan error, 1)
	go func() { ended <- t.Run(ctx); conn.Close() }()
	answerStates(in, out, t.State)
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// answerStates until the init has left, or the connection was closed.
func answerStates(in *json.Decoder, out *json.Encoder, state func() initapi.TunnelState) {
	for {
		var question struct{}
		if err := in.Decode(&question); err != nil {
			return
		}
		if err := out.Encode(state()); err != nil {
			return
		}
	}
}
