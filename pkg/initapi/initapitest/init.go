// Package initapitest is the init of a sandbox as docker-sd sees it, for unit tests: it
// notes what it is asked for and does nothing, and it can refuse.
package initapitest

import (
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// Pins is where the private mount points are that the init names.
const Pins = "/run/docker-sd/pins"

// T is what an init needs of the test that it is made for. testing.TB has it.
type T interface {
	Errorf(format string, args ...any)
}

// Init of a sandbox. It outlives restarts of its sandbox: see Serve.
type Init struct {
	t T

	mu       sync.Mutex
	asked    []initapi.Request
	refusals map[string]*initapi.Error
	usage    map[string]initapi.Usage
	fuse     *initapi.Fuse
	tunnel   initapi.TunnelState
}

// New makes an init that does not serve yet.
func New(t T) *Init {
	return &Init{t: t, refusals: map[string]*initapi.Error{}, usage: map[string]initapi.Usage{}}
}

// Refuse has the next request for an operation answered with an error.
func (i *Init) Refuse(op string, kind initapi.Kind, message string) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.refusals[op] = &initapi.Error{Kind: kind, Message: message}
}

// SetUsage of a folder of the sandbox.
func (i *Init) SetUsage(folder string, usage initapi.Usage) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.usage[folder] = usage
}

// OfferFuse has the sandbox offer FUSE file systems, which it does not otherwise.
func (i *Init) OfferFuse(fuse initapi.Fuse) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.fuse = &fuse
}

// Requests for an operation so far.
func (i *Init) Requests(op string) []initapi.Request {
	i.mu.Lock()
	defer i.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(i.asked), func(r initapi.Request) bool { return r.Op != op })
}

// Serve in a sandbox's folder until the function that it returns is called. start begins
// the sandbox's engine: at once, or for a standby when it is asked to.
func (i *Init) Serve(dir string, standby bool, start func() error) (stop func(), err error) {
	listener, err := net.Listen("unix", filepath.Join(dir, initapi.SocketName))
	if err != nil {
		return nil, fmt.Errorf("serve an init: %w", err)
	}
	run := &run{init: i, standby: standby, start: start}
	if !standby {
		err = start()
	}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { run.serve(conn) })
		}
	})
	return func() { _ = listener.Close(); serving.Wait() }, err
}

// run is what the init is while its sandbox runs.
type run struct {
	init  *Init
	start func() error

	mu      sync.Mutex
	standby bool
	// wanted says that a tunnel was asked for since the sandbox was started.
	wanted bool
}

// serve answers the one request of a connection.
func (r *run) serve(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	var request initapi.Request
	if err := json.NewDecoder(conn).Decode(&request); err != nil {
		return // a caller that has left
	}
	_ = json.NewEncoder(conn).Encode(r.do(request)) // a caller that has left asks again
}

// do notes a request and answers it, as far as there is anything to do.
func (r *run) do(request initapi.Request) initapi.Answer {
	i, out := r.init, initapi.Answer{Version: initapi.Version}
	i.mu.Lock()
	i.asked = append(i.asked, request)
	refusal := i.refusals[request.Op]
	delete(i.refusals, request.Op)
	usage, fuse := i.usage[request.Folder], i.fuse
	i.mu.Unlock()
	if refusal != nil {
		out.Error = refusal
		return out
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	switch request.Op {
	case initapi.OpStatus:
		out.State = &initapi.State{Standby: r.standby}
	case initapi.OpStart:
		if r.standby {
			r.standby = false
			if err := r.start(); err != nil {
				out.Error = &initapi.Error{Kind: initapi.KindFailed, Message: err.Error()}
			}
		}
	case initapi.OpPin:
		out.Path = filepath.Join(Pins, request.Place)
	case initapi.OpMeasure:
		out.Usage = &usage
	case initapi.OpTunnel:
		r.wanted = true
	case initapi.OpTunnelState:
		state := i.tunnelState(r.wanted)
		out.Tunnel = &state
	case initapi.OpFuse:
		out.Fuse = fuse
	case initapi.OpEndFuse, initapi.OpGroupOOM:
	case initapi.OpImage:
		if !request.Image.Mount {
			out.Error = &initapi.Error{Kind: initapi.KindMissing, Message: "is not mounted yet"}
		}
	case initapi.OpCheck, initapi.OpNFS, initapi.OpTmpfs, initapi.OpShm, initapi.OpSysctl, initapi.OpKill, initapi.OpGroup,
		initapi.OpAmend, initapi.OpHugePages, initapi.OpHugetlbfs:
	default:
		i.t.Errorf("the init was asked for %s", request.Op)
		out.Error = &initapi.Error{Kind: initapi.KindUnknown, Message: "this init cannot do that"}
	}
	return out
}
