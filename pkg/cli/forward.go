package cli

import (
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"

	"github.com/containerd/errdefs"
	"github.com/spf13/cobra"
	"golang.org/x/sync/semaphore"
	"k8s.io/apimachinery/pkg/types"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/admin"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/relay"
)

// newPortForward makes the command port-forward.
func newPortForward(o *Options) *cobra.Command {
	var address string
	cmd := &cobra.Command{
		Use: "port-forward NAMESPACE/POD|UID [LOCAL:]REMOTE...", Short: "Forward ports of this host to a pod",
		Long: "port-forward listens at ports of this host and passes on each connection to a port of the pod,\n" +
			"as a program in the pod would reach it at 127.0.0.1 or ::1. LOCAL is REMOTE where it is left\n" +
			"out, and a free port where it is empty or 0. It runs until it is interrupted.",
		Args: cobra.MinimumNArgs(2), ValidArgsFunction: completePod(o),
		RunE: func(cmd *cobra.Command, args []string) error { return o.portForward(cmd, args[0], address, args[1:]) },
	}
	cmd.Flags().StringVar(&address, "address", "127.0.0.1", "address of this host to listen at; others than loopback let the network in")
	return cmd
}

// ports are one LOCAL:REMOTE.
type ports struct{ local, remote uint16 }

// parsePorts reads [LOCAL:]REMOTE. Errors are ErrInvalidArgument.
func parsePorts(text string) (ports, error) {
	local, remote, both := strings.Cut(text, ":")
	if !both {
		remote = local
	}
	var out ports
	for _, p := range []struct {
		text string
		to   *uint16
		zero bool
	}{{remote, &out.remote, false}, {local, &out.local, true}} {
		if p.text == "" && p.zero {
			continue
		}
		n, err := strconv.ParseUint(p.text, 10, 16)
		if err != nil || n == 0 && !p.zero {
			return out, fmt.Errorf("%q is no port: it is REMOTE or LOCAL:REMOTE, each from 1 to 65535, LOCAL may be 0: %w", text, errdefs.ErrInvalidArgument)
		}
		*p.to = uint16(n)
	}
	return out, nil
}

// portForward finds the pod by its name and forwards ports until the context ends.
func (o *Options) portForward(cmd *cobra.Command, name, address string, args []string) error {
	var all []ports
	for _, arg := range args {
		p, err := parsePorts(arg)
		if err != nil {
			return err
		}
		all = append(all, p)
	}
	if address == "localhost" {
		address = "127.0.0.1"
	}
	host := net.ParseIP(address)
	if host == nil {
		return fmt.Errorf("--address is %q: it is an IP address of this host: %w", address, errdefs.ErrInvalidArgument)
	}
	client, pod, err := o.target(cmd.Context(), name)
	if err != nil {
		return err
	}
	defer client.Close()
	if !host.IsLoopback() {
		fmt.Fprintf(cmd.ErrOrStderr(), "whoever reaches %s reaches these ports of the pod\n", address)
	}
	f := &forwarding{client: client, pod: pod.UID, trouble: cmd.ErrOrStderr(), places: semaphore.NewWeighted(mostForwarded)}
	return f.run(cmd.Context(), cmd.OutOrStdout(), host, all)
}

// mostForwarded connections are open at once; further ones wait. docker-sd takes 1024.
const mostForwarded = 512

// forwarding passes on connections to one pod.
type forwarding struct {
	client *admin.Client
	pod    types.UID
	places *semaphore.Weighted

	mu      sync.Mutex
	trouble io.Writer
}

// run listens at all ports and passes on connections until ctx ends or the pod is not there
// any more.
func (f *forwarding) run(ctx context.Context, out io.Writer, host net.IP, all []ports) error {
	caller := ctx
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	var serving sync.WaitGroup
	defer serving.Wait()
	for _, p := range all {
		listener, err := net.ListenTCP("tcp", &net.TCPAddr{IP: host, Port: int(p.local)})
		if err != nil {
			end(nil)
			return fmt.Errorf("listen for port %d of the pod: %w", p.remote, err)
		}
		fmt.Fprintf(out, "Forwarding from %s -> %d\n", listener.Addr(), p.remote)
		stop := context.AfterFunc(ctx, func() { listener.Close() })
		serving.Go(func() {
			defer stop()
			defer listener.Close()
			f.serve(ctx, end, listener, p.remote)
		})
	}
	serving.Wait()
	if caller.Err() != nil {
		return nil
	}
	return context.Cause(ctx)
}

// serve passes on the connections of one listener.
func (f *forwarding) serve(ctx context.Context, end context.CancelCauseFunc, listener *net.TCPListener, port uint16) {
	var open sync.WaitGroup
	defer open.Wait()
	for f.places.Acquire(ctx, 1) == nil {
		conn, err := listener.AcceptTCP()
		if err != nil {
			f.places.Release(1)
			end(fmt.Errorf("wait for connections: %w", err)) // nothing if it has ended
			return
		}
		open.Go(func() {
			defer f.places.Release(1)
			defer conn.Close()
			err := f.pass(ctx, conn, port)
			if errdefs.IsNotFound(err) || errdefs.IsPermissionDenied(err) {
				end(err)
			} else if err != nil && ctx.Err() == nil {
				f.complain(err)
			}
		})
	}
}

// pass joins a connection to one of the pod. Where there is none, the caller is reset.
func (f *forwarding) pass(ctx context.Context, conn *net.TCPConn, port uint16) error {
	far, err := f.client.Connect(ctx, f.pod, port)
	if err != nil {
		_ = conn.SetLinger(0) // it is closed at once
		return err
	}
	defer far.Close()
	defer context.AfterFunc(ctx, func() { _, _ = conn.Close(), far.Close() })()
	relay.Join(conn, far)
	return nil
}

func (f *forwarding) complain(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	fmt.Fprintln(f.trouble, strings.Join(Plain([]string{err.Error()}), ""))
}
