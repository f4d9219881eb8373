package sandboxinit

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/relay"
)

// connectLimit bounds connecting to a port of the sandbox's own. Its queue may be full.
const connectLimit = 30 * time.Second

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
	_ = caller.SetDeadline(time.Now().Add(askTime))
	if err := json.NewEncoder(caller).Encode(initapi.Answer{Version: initapi.Version}); err != nil {
		_ = far.Close()
		return nil // the caller has left
	}
	_ = caller.SetDeadline(time.Time{})
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
