package sandboxinit

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"reflect"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// tunnels keeps the tunnel of the sandbox that was asked for last.
type tunnels struct {
	children *children
	// program is the one of the tunnel.
	program string

	mu  sync.Mutex
	run *tunnelRun
}

// want starts the tunnel of a wish in place of the one before, unless that has the same.
func (t *tunnels) want(wish initapi.Tunnel) error {
	if err := wish.Check(); err != nil {
		return &initapi.Error{Kind: initapi.KindInvalid, Message: "the cluster's network: " + err.Error()}
	}
	if _, err := os.Stat(t.program); err != nil {
		return &initapi.Error{Kind: initapi.KindMissing, Message: "this sandbox was made without the cluster's network"}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	before := t.run
	if before != nil && reflect.DeepEqual(before.wish, wish) {
		return nil
	}
	t.run = &tunnelRun{tunnels: t, wish: wish, over: make(chan struct{}), ended: make(chan struct{}), changed: time.Now()}
	if before != nil {
		close(before.over)
	}
	go t.run.keep(before) // ends with the next wish, or the sandbox
	return nil
}

// state of the tunnel that was asked for last; zero without one.
func (t *tunnels) state() initapi.TunnelState {
	t.mu.Lock()
	run := t.run
	t.mu.Unlock()
	if run == nil {
		return initapi.TunnelState{}
	}
	return run.state()
}

// tunnelRun is one wish, and the processes that fulfil it one after the other.
type tunnelRun struct {
	*tunnels
	wish initapi.Tunnel
	// over is closed when another wish takes its place, ended when no process is left.
	over, ended chan struct{}

	mu sync.Mutex
	// conn leads to the process that runs, nil while there is none.
	conn    net.Conn
	pid     int
	starts  int
	changed time.Time
	problem error
	// last is what the last process told, earlier the reconnections of those before it.
	last    initapi.TunnelState
	earlier int
}

// tunnelAgain is the pause before a tunnel's process that ended is started again.
const tunnelAgain = time.Second

// keep runs the process until the wish is over.
func (r *tunnelRun) keep(before *tunnelRun) {
	defer close(r.ended)
	if before != nil {
		<-before.ended // its network interface may have the same name
	}
	for {
		select {
		case <-r.over:
			return
		default:
		}
		err := r.once()
		r.down(err)
		select {
		case <-r.over:
			return
		default:
			fmt.Fprintln(os.Stderr, "docker-sd-init: the tunnel is started again:", err)
		}
		select {
		case <-r.over:
			return
		case <-time.After(tunnelAgain):
		}
	}
}

// once runs the process until it ends, or until the wish is over.
func (r *tunnelRun) once() error {
	conn, far, err := socketPair()
	if err != nil {
		return err
	}
	pid, ended, err := r.children.start([]string{r.program}, far.Fd())
	far.Close()
	if err != nil {
		conn.Close()
		return err
	}
	_ = conn.SetDeadline(time.Now().Add(answerTime))
	err = json.NewEncoder(conn).Encode(r.wish)
	r.began(conn, pid)
	var status syscall.WaitStatus
	select {
	case status = <-ended:
	case <-r.over:
		conn.Close() // which ends it
		select {
		case status = <-ended:
		case <-time.After(tunnelEnd):
			_ = unix.Kill(pid, unix.SIGKILL)
			status = <-ended
		}
	}
	conn.Close()
	return errors.Join(err, endOf(status))
}

// tunnelEnd is what a tunnel's process has to end itself.
const tunnelEnd = 5 * time.Second

func endOf(status syscall.WaitStatus) error {
	if status.Signaled() {
		return fmt.Errorf("its process was ended by the signal %q", status.Signal())
	}
	return fmt.Errorf("its process ended with code %d", status.ExitStatus())
}

// socketPair returns both ends of a connection.
func socketPair() (net.Conn, *os.File, error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("make a connection: %w", err)
	}
	near, far := os.NewFile(uintptr(pair[0]), "tunnel"), os.NewFile(uintptr(pair[1]), "init")
	conn, err := net.FileConn(near)
	near.Close()
	if err != nil {
		far.Close()
	}
	return conn, far, err
}

func (r *tunnelRun) began(conn net.Conn, pid int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conn, r.pid = conn, pid
	r.starts++
}

func (r *tunnelRun) down(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.conn, r.problem = nil, err
	r.earlier += r.last.Reconnections
	if r.last.Up {
		r.changed = time.Now()
	}
	r.last = initapi.TunnelState{}
}

// answerTime is what the tunnel's process has to answer. It answers from memory.
const answerTime = 5 * time.Second

// state asks the process. One call at a time, for the answers have no numbers.
func (r *tunnelRun) state() initapi.TunnelState {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.conn != nil {
		now, err := askTunnel(r.conn)
		if err == nil {
			r.last = now
			now.Starts, now.Reconnections = r.starts, now.Reconnections+r.earlier
			return now
		}
		// It is of no use any more, and an answer that comes late would be taken for the next.
		r.conn.Close()
		_ = unix.Kill(r.pid, unix.SIGKILL) // it is not reaped before down is called
		r.conn, r.problem = nil, fmt.Errorf("its process does not answer: %w", err)
	}
	out := initapi.TunnelState{Wanted: true, Changed: r.changed, Starts: r.starts, Reconnections: r.earlier}
	if r.problem != nil {
		out.Error = "the tunnel is started again: " + r.problem.Error()
	}
	return out
}

func askTunnel(conn net.Conn) (initapi.TunnelState, error) {
	var out initapi.TunnelState
	_ = conn.SetDeadline(time.Now().Add(answerTime))
	if _, err := conn.Write([]byte("{}\n")); err != nil {
		return out, err
	}
	err := json.NewDecoder(&limited{conn, requestLimit}).Decode(&out)
	return out, err
}
