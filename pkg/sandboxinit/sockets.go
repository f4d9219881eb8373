package sandboxinit

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// sockets of a sandbox. They are the init's for as long as it runs: while the engine
// is away, its callers wait.
type sockets struct {
	engine *os.File
	init   net.Listener
	// engineNode is the engine's socket in its folder, by descriptor.
	engineNode int
}

// openSockets makes the sockets in the sandbox's folder and then hides that folder.
func openSockets() (sockets, error) {
	var out sockets
	engine, err := listen(initapi.EngineSocket)
	if err != nil {
		return out, err
	}
	defer engine.Close()
	if out.engine, err = engine.File(); err != nil {
		return out, err
	}
	if out.engineNode, err = unix.Open(filepath.Join(initapi.FolderPath, initapi.EngineSocket), unix.O_PATH|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0); err != nil {
		return out, err
	}
	if out.init, err = listen(initapi.SocketName); err != nil {
		return out, err
	}
	return out, hideFolder()
}

func listen(name string) (*net.UnixListener, error) {
	path := filepath.Join(initapi.FolderPath, name)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	// The name is gone from here soon, and stays on the host.
	listener.SetUnlinkOnClose(false)
	// The group is root's; a docker-sd that runs as another user is in it. The folder lets
	// no one else in.
	return listener, os.Chmod(path, 0o660)
}

// touch gives the engine's socket the time of the engine's start, which docker-sd
// reads: what an engine calls created and is older may have run under the one before.
func (s sockets) touch() {
	node := fmt.Sprintf("/proc/self/fd/%d", s.engineNode)
	_ = unix.UtimesNanoAt(unix.AT_FDCWD, node, []unix.Timespec{unix.NsecToTimespec(time.Now().UnixNano()), unix.NsecToTimespec(time.Now().UnixNano())}, 0)
}
