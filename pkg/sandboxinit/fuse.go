package sandboxinit

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fusemount"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

const (
	// fusePath holds what containers get of the sandbox to mount FUSE file systems.
	fusePath = "/run/docker-sd/fuse"
	// fuseWorkers bounds the processes that mount at a time, fuseTime the time of one.
	fuseWorkers = 16
	fuseTime    = 30 * time.Second
	// connectionFD is where a worker finds its connection.
	connectionFD = 3
)

// fuse lets containers mount FUSE file systems. Each request is carried out by a process
// of its own: the first process of the sandbox must never wait for a program in it.
type fuse struct {
	children *children
	mark     fusemount.Mark

	mu     sync.Mutex
	folder string // "" until containers may mount
	ended  bool
	// workers are the processes that carry out requests.
	workers map[int]bool
}

func newFuse(c *children) fuse {
	return fuse{children: c, mark: fusemount.NewMark(rand.Uint64()), workers: map[int]bool{}}
}

// offer lets containers mount over what is in a folder of the sandbox. Again is success.
func (f *fuse) offer(folder string) (*initapi.Fuse, error) {
	if !fusemount.Available() {
		return nil, nil
	}
	out := &initapi.Fuse{Program: filepath.Join(fusePath, fusemount.Names[0]), Socket: filepath.Join(fusePath, "socket")}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.folder != "" {
		return out, nil
	}
	if err := os.MkdirAll(fusePath, 0o755); err != nil {
		return nil, err
	}
	// A copy: the file that the sandbox was started with is that of all sandboxes.
	if err := copyProgram(out.Program); err != nil {
		return nil, fmt.Errorf("copy fusermount: %w", err)
	}
	if err := os.Remove(out.Socket); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	listener, err := net.ListenUnix("unixpacket", &net.UnixAddr{Name: out.Socket, Net: "unixpacket"})
	if err == nil {
		err = os.Chmod(out.Socket, 0o666)
	}
	if err != nil {
		return nil, fmt.Errorf("listen for fusermount: %w", err)
	}
	f.folder = folder
	go f.serve(listener) // for as long as the sandbox lives
	return out, nil
}

func copyProgram(to string) error {
	from, err := os.ReadFile(initapi.ProgramPath)
	if err != nil {
		return err
	}
	if err := os.WriteFile(to+".new", from, 0o755); err != nil {
		return err
	}
	return errors.Join(os.Chmod(to+".new", 0o755), os.Rename(to+".new", to))
}

func (f *fuse) serve(listener *net.UnixListener) {
	free := make(chan struct{}, fuseWorkers)
	for {
		conn, err := listener.AcceptUnix()
		if err != nil {
			fmt.Fprintln(os.Stderr, "docker-sd-init: accept a request of fusermount:", err)
			time.Sleep(100 * time.Millisecond) // out of descriptors, which passes
			continue
		}
		free <- struct{}{}
		go func() { // ends with fuseTime at the latest, unless its process cannot be killed
			defer func() { <-free }()
			if err := f.answer(conn); err != nil {
				fmt.Fprintln(os.Stderr, "docker-sd-init: fusermount:", err)
			}
		}()
	}
}

// answer has a process carry out the request of a connection.
func (f *fuse) answer(conn *net.UnixConn) error {
	connection, err := conn.File()
	conn.Close()
	if err != nil {
		return err
	}
	f.mu.Lock()
	folder := f.folder
	if f.ended {
		f.mu.Unlock()
		return connection.Close()
	}
	pid, ended, err := f.startWorker(commandMount, folder, connection.Fd())
	if err == nil {
		f.workers[pid] = true
	}
	f.mu.Unlock()
	connection.Close()
	if err != nil {
		return err
	}
	_, err = within(pid, ended)
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.workers, pid)
	return err
}

// startWorker starts a process that carries out a command for a folder.
func (f *fuse) startWorker(command, folder string, files ...uintptr) (int, <-chan syscall.WaitStatus, error) {
	return f.children.start([]string{initapi.ProgramPath, command, folder, strconv.Itoa(int(f.mark))}, files...)
}

// within waits for a process and kills it when its time is over.
func within(pid int, ended <-chan syscall.WaitStatus) (syscall.WaitStatus, error) {
	select {
	case status := <-ended:
		return status, nil
	case <-time.After(fuseTime):
		if err := send(pid, unix.SIGKILL); err != nil {
			return 0, err
		}
		<-ended
		return 0, fmt.Errorf("it took more than %s", fuseTime)
	}
}

// end ends all FUSE file systems of the sandbox and lets no others be mounted.
func (f *fuse) end() error {
	f.mu.Lock()
	folder := f.folder
	f.ended = true
	// What one of them mounts after this serves nobody: /dev/fuse is closed with it.
	var problems []error
	for pid := range f.workers {
		problems = append(problems, send(pid, unix.SIGKILL))
	}
	f.mu.Unlock()
	if folder == "" {
		return nil
	}
	pid, ended, err := f.startWorker(commandAbort, folder)
	if err != nil {
		return errors.Join(append(problems, err)...)
	}
	status, err := within(pid, ended)
	if err == nil && status.ExitStatus() != 0 {
		err = errors.New("not all FUSE file systems could be ended, the sandbox's log says which")
	}
	return errors.Join(append(problems, err)...)
}

// fuseCommand is what a process of its own does.
func fuseCommand(command string, args []string) error {
	if len(args) != 2 {
		return errors.New("a folder and a mark are needed")
	}
	mark, err := strconv.ParseUint(args[1], 10, 12)
	if err != nil {
		return err
	}
	grant := fusemount.Grant{Folder: args[0], Mark: fusemount.Mark(mark)}
	if command == commandAbort {
		return fusemount.Abort(grant)
	}
	return fusemount.Answer(connectionFD, grant)
}
