// Package api serves the sidecar protocol over HTTP, and that of interLink's own API
// server: it decodes, asks the pods, and encodes. What a caller may send and what it makes
// of each answer is in docs/interlink-protocol.md 1 to 4.
package api

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podlogs"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes"
)

// Pods is what the server needs of the pods.
type Pods interface {
	Create(ctx context.Context, pod *v1.Pod, data volumes.Data) (jid string, err error)
	Delete(ctx context.Context, uid types.UID, grace *int64) error
	Status(pod *v1.Pod) (podstatus.Report, bool)
	FindLogs(query podlogs.Query) (*podlogs.Source, error)
	// Count returns how many there are; it blocks for as long as they are stuck.
	Count() int
}

// Server of the routes for interLink's API server, and of those for Virtual Kubelets. Its
// limits hold for the callers of both together.
type Server struct {
	config Config
	limits limits
	// plugin is for interLink's API server, interlink for Virtual Kubelets.
	plugin, interlink         *endpoint
	pluginEars, interlinkEars ears
	// ready is closed once earlier pods have been taken over; pods are there then.
	ready     chan struct{}
	pods      Pods
	readyOnce sync.Once
	// asking holds the one that asks the pods whether they answer.
	asking chan struct{}
	// draining ends followed logs at shutdown; they would hold it up for ever.
	draining context.Context
	drain    context.CancelFunc
}

// Ready lets calls through to pods: those of an earlier run have been taken over. The
// second call does nothing.
func (s *Server) Ready(pods Pods) {
	s.readyOnce.Do(func() {
		s.pods = pods
		close(s.ready)
	})
}

// Listen binds a TCP address or a unix socket. A socket that nobody serves any
// more is replaced, one that somebody serves is an error; only the owner may
// connect.
func Listen(network, address string) (net.Listener, error) {
	if network == "unix" {
		if err := clearSocket(address); err != nil {
			return nil, err
		}
	}
	listener, err := net.Listen(network, address)
	if err != nil {
		return nil, fmt.Errorf("listen on %s: %w", address, err)
	}
	if network == "unix" {
		if err := os.Chmod(address, 0o600); err != nil {
			return nil, errors.Join(fmt.Errorf("protect socket %s: %w", address, err), listener.Close())
		}
	}
	return listener, nil
}

func clearSocket(path string) error {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at socket %s: %w", path, err)
	}
	if info.Mode().Type() != os.ModeSocket {
		return fmt.Errorf("%s exists and is not a socket: remove it or choose another path", path)
	}
	if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
		conn.Close()
		return fmt.Errorf("another process serves socket %s: stop it or choose another path", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove stale socket %s: %w", path, err)
	}
	return nil
}

// Serve answers interLink's API server until Shutdown.
func (s *Server) Serve(l net.Listener) error { return s.plugin.serve(l) }

// ServeInterlink answers Virtual Kubelets until Shutdown.
func (s *Server) ServeInterlink(l net.Listener) error { return s.interlink.serve(l) }

// Shutdown ends followed logs, lets other requests end until ctx does, then
// closes what is left.
func (s *Server) Shutdown(ctx context.Context) error {
	s.drain()
	var group sync.WaitGroup
	var plugin, interlink error
	group.Go(func() { plugin = s.plugin.shutdown(ctx) })
	group.Go(func() { interlink = s.interlink.shutdown(ctx) })
	group.Wait()
	return errors.Join(plugin, interlink)
}

// Troubles lists why pods cannot be taken at this moment; none means ready.
func (s *Server) Troubles() []string {
	var troubles []string
	select {
	case <-s.ready:
	default:
		troubles = append(troubles, "still taking over earlier pods")
	}
	return append(troubles, s.config.Troubles()...)
}

// Alive returns nil once the pods have answered, and an error if ctx ends before. It
// asks them as a call would, but not over the address that callers use: that all of
// its connections are taken is nothing that a restart would mend.
func (s *Server) Alive(ctx context.Context) error {
	select {
	case <-s.ready:
	default:
		return nil // there are none yet
	}
	select {
	case s.asking <- struct{}{}:
	case <-ctx.Done():
		return fmt.Errorf("the pods have not answered the last time either: %w", ctx.Err())
	}
	answered := make(chan struct{})
	go func() { // one at a time; it ends when the pods answer
		s.pods.Count()
		<-s.asking
		close(answered)
	}()
	select {
	case <-answered:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("the pods do not answer: %w", ctx.Err())
	}
}
