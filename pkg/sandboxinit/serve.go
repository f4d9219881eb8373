package sandboxinit

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path"
	"sync"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandboxinit/amend"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandboxinit/cgroups"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandboxinit/mounts"
)

// askTime bounds how long a caller may take to send a request, and to take the answer.
const askTime = 30 * time.Second

// server answers docker-sd. The socket is in a folder that only the host's root can
// enter.
type server struct {
	started chan bool
	tunnels tunnels

	mu      sync.Mutex
	standby bool
	// engine is when the engine was started last, and starts how many times it was.
	engine time.Time
	starts int
	// pinning is held while a place is mounted: a place may be asked for again while
	// the first request for it is still under way.
	pinning sync.Mutex
	exports *mounts.Exports
	fuse    fuse
}

func (s *server) serve(listener net.Listener) {
	for {
		conn, err := listener.Accept()
		if err != nil {
			fmt.Fprintln(os.Stderr, "docker-sd-init: accept a request:", err)
			time.Sleep(100 * time.Millisecond) // out of descriptors, which passes
			continue
		}
		go s.answer(conn) // ends with its connection's deadline at the latest
	}
}

func (s *server) answer(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(askTime))
	var request initapi.Request
	answer := initapi.Answer{Version: initapi.Version}
	err := json.NewDecoder(&limited{conn, requestLimit}).Decode(&request)
	if err != nil {
		err = &initapi.Error{Kind: initapi.KindInvalid, Message: "the request cannot be read: " + err.Error()}
	} else if keep := keeping(request); keep != nil {
		if err = keep(conn); err == nil {
			return
		}
	} else {
		err = s.do(request, &answer)
	}
	if err != nil {
		var known *initapi.Error
		if !errors.As(err, &known) {
			known = &initapi.Error{Kind: initapi.KindFailed, Message: err.Error()}
		}
		answer.Error = known
	}
	_ = conn.SetWriteDeadline(time.Now().Add(askTime))
	_ = json.NewEncoder(conn).Encode(answer) // a caller that has left asks again
}

func (s *server) do(r initapi.Request, answer *initapi.Answer) error {
	switch {
	case r.Op == initapi.OpStatus:
		answer.State = s.state()
		return nil
	case r.Op == initapi.OpStart:
		s.wake(r.Current)
		return nil
	case r.Op == initapi.OpCheck && r.Source != nil:
		return mounts.Check(*r.Source)
	case r.Op == initapi.OpPin && r.Source != nil:
		s.pinning.Lock()
		defer s.pinning.Unlock()
		var err error
		answer.Path, err = mounts.Pin(r.Place, *r.Source)
		return err
	case r.Op == initapi.OpImage && r.Image != nil:
		s.pinning.Lock()
		defer s.pinning.Unlock()
		return mounts.MountImage(*r.Image)
	case r.Op == initapi.OpNFS && r.NFS != nil:
		return s.exports.Add(*r.NFS)
	case r.Op == initapi.OpTmpfs && r.Tmpfs != nil:
		s.pinning.Lock()
		defer s.pinning.Unlock()
		return mounts.MountTmpfs(*r.Tmpfs)
	case r.Op == initapi.OpShm && r.Shm > 0:
		return mounts.ResizeShm(r.Shm)
	case r.Op == initapi.OpSysctl:
		return setSysctls(r.Sysctl)
	case r.Op == initapi.OpFuse && path.IsAbs(r.Fuse):
		var err error
		answer.Fuse, err = s.fuse.offer(r.Fuse)
		return err
	case r.Op == initapi.OpEndFuse:
		return s.fuse.end()
	case r.Op == initapi.OpMeasure:
		var err error
		answer.Usage, err = measure(r.Folder)
		return err
	case r.Op == initapi.OpTunnel && r.Tunnel != nil:
		return s.tunnels.want(*r.Tunnel)
	case r.Op == initapi.OpTunnelState:
		state := s.tunnels.state()
		answer.Tunnel = &state
		return nil
	case r.Op == initapi.OpKill && r.PID > 1:
		return killSession(r.PID)
	case r.Op == initapi.OpEndSession && r.PID > 1:
		return endSession(r.PID)
	case r.Op == initapi.OpRead && r.Source != nil:
		var err error
		answer.Data, err = mounts.Read(*r.Source, r.Limit)
		return err
	}
	return s.bound(r)
}

// bound is do for what containers get of memory, processors, huge pages and profiles.
func (s *server) bound(r initapi.Request) error {
	switch {
	case r.Op == initapi.OpGroupOOM:
		return cgroups.GroupOOM(r.Container)
	case r.Op == initapi.OpGroup && r.Group != nil:
		return cgroups.MakePodGroup(*r.Group)
	case r.Op == initapi.OpAmend && r.Amendment != nil:
		return amend.Note(*r.Amendment)
	case r.Op == initapi.OpHugePages:
		return cgroups.BoundHugePages(r.HugePages)
	case r.Op == initapi.OpHugetlbfs && r.Hugetlbfs != nil:
		s.pinning.Lock()
		defer s.pinning.Unlock()
		return mounts.MountHugetlbfs(*r.Hugetlbfs)
	}
	return &initapi.Error{Kind: initapi.KindUnknown, Message: fmt.Sprintf("this sandbox knows no operation %q with these fields", r.Op)}
}

func (s *server) state() *initapi.State {
	spent := used()
	s.mu.Lock()
	defer s.mu.Unlock()
	return &initapi.State{Standby: s.standby, EngineStarted: s.engine, EngineStarts: s.starts, Used: spent}
}

// wake starts the engine of a standby, once.
func (s *server) wake(current bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.standby {
		s.standby = false
		s.started <- current
	}
}

func (s *server) engineStarted(at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.engine = at
	s.starts++
}
