package sandboxinit

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/relay"
)

// connectLimit bounds connecting to a port of the sandbox's own. Its queue may be full.
const connectLimit = 30 * time.Second

// keeping is what answers a request whose connection lasts, nil for another one.
func keeping(r initapi.Request) func(net.Conn) error {
	switch {
	case r.Op == initapi.OpConnect && r.Port > 0:
		return func(caller net.Conn) error { return connectTo(caller, r.Port) }
	case r.Op == initapi.OpHold && r.PID > 1:
		return func(caller net.Conn) error { return holdSession(caller, r.PID) }
	}
	return nil
}

// granted answers a request whose connection lasts. It is false for a caller that has left.
func granted(caller net.Conn) bool {
	_ = caller.SetDeadline(time.Now().Add(askTime))
	if err := json.NewEncoder(caller).Encode(initapi.Answer{Version: initapi.Version}); err != nil {
		return false
	}
	return caller.SetDeadline(time.Time{}) == nil
}

// holdSession kills a process and its session when the caller's connection ends. With an
// error nothing has been answered.
func holdSession(caller net.Conn, leader int) error {
	// By which it is known whatever has its id later.
	process, err := unix.PidfdOpen(leader, 0)
	if err != nil {
		kind := initapi.KindFailed
		if errors.Is(err, unix.ESRCH) {
			kind = initapi.KindMissing
		}
		return &initapi.Error{Kind: kind, Message: fmt.Sprintf("process %d: %v", leader, err)}
	}
	defer unix.Close(process)
	if granted(caller) {
		_, _ = io.Copy(io.Discard, caller) // to its end
	}
	end := killSession
	if errors.Is(unix.PidfdSendSignal(process, 0, nil, 0), unix.ESRCH) {
		end = endSession
	}
	if err := end(leader); err != nil {
		fmt.Fprintln(os.Stderr, "docker-sd-init: kill a session:", err)
	}
	return nil
}

// connectTo answers a call by a connection to a port of the sandbox, which it joins to the
// caller's. With an error nothing has been answered.
func connectTo(caller net.Conn, port uint16) error {
	near, ok := caller.(relay.Conn)
	if !ok {
		return fmt.Errorf("a caller by %T cannot be joined to another connection", caller)
	}
	far, err := dialOwn(port)
	if err != nil {
		return err
	}
	if !granted(caller) {
		_ = far.Close() // nothing was sent
		return nil
	}
	relay.Join(near, far)
	return nil
}

// dialOwn connects to a port at the loopback interface, of which a server may listen at one
// address alone.
func dialOwn(port uint16) (relay.Conn, error) {
	dialer := net.Dialer{Timeout: connectLimit}
	var problems []error
	for _, host := range []string{"127.0.0.1", "::1"} {
		conn, err := dialer.Dial("tcp", net.JoinHostPort(host, strconv.Itoa(int(port))))
		if tcp, ok := conn.(*net.TCPConn); ok {
			return tcp, nil
		}
		problems = append(problems, err)
		if !errors.Is(err, unix.ECONNREFUSED) {
			break
		}
	}
	kind, err := initapi.KindFailed, errors.Join(problems...)
	if errors.Is(err, unix.ECONNREFUSED) {
		kind = initapi.KindMissing
		err = problems[0]
	}
	return nil, &initapi.Error{Kind: kind, Message: err.Error()}
}
