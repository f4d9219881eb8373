package admin

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/containerd/errdefs"
	"k8s.io/apimachinery/pkg/types"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/access"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/connections"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/relay"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/remotecommand"
)

// Routes of a pod, by its UID, for the owner of docker-sd alone: see access.Owner.
//
//	GET  describe     a Description
//	GET  exec         a websocket of package remotecommand, as Kubernetes' API has it, with
//	                  the same parameters: container, command (once for each argument),
//	                  stdin, tty
//	GET  portforward  after an upgrade to "tcp", the bytes of one connection to port
//	GET  stat         path of a container, as a FileStat
//	GET  archive      path of a container, as a tar stream
//	PUT  archive      a tar stream, into the folder path of a container
const (
	pathDescribe    = "/describe"
	pathExec        = "/exec"
	pathPortForward = "/portforward"
	pathArchive     = "/archive"
	pathStat        = "/stat"
	pathPodPattern  = PathPods + "/{uid}"
	// portUpgrade is the protocol of a connection to a port.
	portUpgrade = "tcp"
)

// Process is a command in a container.
type Process struct {
	Command []string
	TTY     bool
}

// Exec runs a process to its end and returns its exit code. Nothing of it is left when ctx
// has ended.
type Exec func(ctx context.Context, p Process, s remotecommand.Streams) (code int, err error)

// FileStat describes a file of a container.
type FileStat struct {
	Name string      `json:"name"`
	Mode os.FileMode `json:"mode"`
	// LinkTarget is where a symbolic link leads to, in the container.
	LinkTarget string `json:"linkTarget,omitempty"`
}

// Inside lets operators into pods. An empty container is the pod's default one. Errors carry
// classes of errdefs.
type Inside interface {
	Describe(types.UID) (Description, error)
	// Exec finds a container that runs.
	Exec(uid types.UID, container string) (Exec, error)
	// Connect connects to a port of the pod's own loopback interface.
	Connect(ctx context.Context, uid types.UID, port uint16) (relay.Conn, error)
	// Log writes the last lines of a container's log.
	Log(ctx context.Context, query LogQuery, w io.Writer) error
	Stat(ctx context.Context, uid types.UID, container, path string) (FileStat, error)
	Read(ctx context.Context, uid types.UID, container, path string) (io.ReadCloser, error)
	Write(ctx context.Context, uid types.UID, container, path string, files io.Reader) error
}

// insider answers the routes that lead into pods.
type insider struct {
	// find returns nil while docker-sd starts.
	find   func() Inside
	status func(error) int
	hosts  access.Hosts
	// life ends with the server, group has those that are answered until they have ended:
	// the HTTP server does not know the connections that it has given away.
	life  context.Context
	end   context.CancelFunc
	group sync.WaitGroup
	// mu has none be answered after end, while group is waited for.
	mu sync.Mutex
}

func newInsider(c Config) *insider {
	i := &insider{find: c.Inside, status: c.Status, hosts: c.Hosts}
	i.life, i.end = context.WithCancel(context.Background())
	return i
}

func (i *insider) handle(mux *http.ServeMux) {
	for pattern, answer := range map[string]func(http.ResponseWriter, *http.Request, Inside) error{
		"GET " + pathPodPattern + pathDescribe:    i.describe,
		"GET " + pathPodPattern + pathExec:        i.exec,
		"GET " + pathPodPattern + pathPortForward: i.portForward,
		"GET " + pathPodPattern + pathStat:        i.stat,
		"GET " + pathPodPattern + pathArchive:     i.read,
		"PUT " + pathPodPattern + pathArchive:     i.write,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			err := i.owner(r)
			if err == nil {
				err = access.FromPage(r) // no page asks for these
			}
			into := i.find()
			if err == nil && into == nil {
				err = errStarting
			}
			if err == nil {
				err = i.answering()
			}
			if err == nil {
				defer i.group.Done()
				err = answer(w, r, into)
			}
			if errors.Is(err, access.ErrForeignHost) {
				http.Error(w, err.Error(), http.StatusMisdirectedRequest)
			} else if err != nil {
				http.Error(w, err.Error(), i.status(err))
			}
		})
	}
}

// owner is nil for a request of docker-sd's owner. The socket may have been forwarded to a
// port, where a name of another site can lead a browser to it.
func (i *insider) owner(r *http.Request) error {
	if err := access.Owner(connections.Of(r)); err != nil {
		return err
	}
	return i.hosts.Named(r)
}

// answering counts one more that is answered, unless the server ends.
func (i *insider) answering() error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.life.Err() != nil {
		return fmt.Errorf("docker-sd ends: %w", errdefs.ErrUnavailable)
	}
	i.group.Add(1)
	return nil
}

// close ends what is answered and waits for it until ctx ends.
func (i *insider) close(ctx context.Context) {
	i.mu.Lock()
	i.end()
	i.mu.Unlock()
	done := make(chan struct{})
	go func() { defer close(done); i.group.Wait() }()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// until is the context of a request that ends with the server as well.
func (i *insider) until(r *http.Request) (context.Context, func()) {
	ctx, cancel := context.WithCancel(r.Context())
	stop := context.AfterFunc(i.life, cancel)
	return ctx, func() { stop(); cancel() }
}

func uidOf(r *http.Request) types.UID { return types.UID(r.PathValue("uid")) }

func (i *insider) describe(w http.ResponseWriter, r *http.Request, into Inside) error {
	seen, err := into.Describe(uidOf(r))
	if err == nil {
		view(func() Description { return seen })(w, r)
	}
	return err
}

func (i *insider) exec(w http.ResponseWriter, r *http.Request, into Inside) error {
	query := r.URL.Query()
	process := Process{Command: query["command"], TTY: query.Get("tty") == "true"}
	if len(process.Command) == 0 {
		return fmt.Errorf("a command is missing: %w", errdefs.ErrInvalidArgument)
	}
	run, err := into.Exec(uidOf(r), query.Get("container"))
	if err != nil {
		return err
	}
	ctx, end := i.until(r)
	defer end()
	// The error is the caller's, who gets it.
	_ = remotecommand.Serve(ctx, w, r, query.Get("stdin") == "true", func(ctx context.Context, s remotecommand.Streams) (int, error) {
		return run(ctx, process, s)
	})
	return nil
}

func (i *insider) portForward(w http.ResponseWriter, r *http.Request, into Inside) error {
	port, err := strconv.ParseUint(r.URL.Query().Get("port"), 10, 16)
	if err != nil || port == 0 {
		return fmt.Errorf("the port is %q: it is a number from 1 to 65535: %w", r.URL.Query().Get("port"), errdefs.ErrInvalidArgument)
	}
	if r.Header.Get("Upgrade") != portUpgrade {
		return fmt.Errorf("this connection is to be upgraded to %q: %w", portUpgrade, errdefs.ErrInvalidArgument)
	}
	if err := unbounded(w); err != nil { // a connection takes as long as an answer may
		return err
	}
	ctx, end := i.until(r)
	defer end()
	far, err := into.Connect(ctx, uidOf(r), uint16(port))
	if err != nil {
		return err
	}
	defer far.Close()
	hijacked, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return err
	}
	defer hijacked.Close()
	first, err := buffered.Peek(buffered.Reader.Buffered())
	near, ok := hijacked.(relay.Conn)
	if _, broken := io.WriteString(hijacked, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: "+portUpgrade+"\r\n\r\n"); err != nil || !ok || broken != nil {
		return nil // the caller has left
	}
	stop := context.AfterFunc(ctx, func() { _, _ = far.Close(), hijacked.Close() })
	defer stop()
	relay.Join(relay.After(first, near), far)
	return nil
}

// unbounded takes the limits of time from a request: files are copied for as long as it takes.
func unbounded(w http.ResponseWriter) error {
	control := http.NewResponseController(w)
	return errors.Join(control.SetReadDeadline(time.Time{}), control.SetWriteDeadline(time.Time{}))
}

func (i *insider) stat(w http.ResponseWriter, r *http.Request, into Inside) error {
	query := r.URL.Query()
	seen, err := into.Stat(r.Context(), uidOf(r), query.Get("container"), query.Get("path"))
	if err != nil {
		return err
	}
	view(func() FileStat { return seen })(w, r)
	return nil
}

func (i *insider) read(w http.ResponseWriter, r *http.Request, into Inside) error {
	query := r.URL.Query()
	ctx, end := i.until(r)
	defer end()
	if err := unbounded(w); err != nil {
		return err
	}
	files, err := into.Read(ctx, uidOf(r), query.Get("container"), query.Get("path"))
	if err != nil {
		return err
	}
	defer files.Close()
	w.Header().Set("Content-Type", "application/x-tar")
	if _, err := io.Copy(w, files); err != nil {
		panic(http.ErrAbortHandler) // the caller must not take the part for the whole
	}
	return nil
}

// drainLimit bounds the rest of a body that is not wanted, so that its sender reads why.
const drainLimit = 10 * time.Second

func (i *insider) write(w http.ResponseWriter, r *http.Request, into Inside) error {
	query := r.URL.Query()
	ctx, end := i.until(r)
	defer end()
	control := http.NewResponseController(w)
	if err := errors.Join(unbounded(w), control.EnableFullDuplex()); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = control.SetReadDeadline(time.Unix(1, 0)) }) // ends a read
	defer stop()
	err := into.Write(ctx, uidOf(r), query.Get("container"), query.Get("path"), r.Body)
	if err == nil {
		return nil
	}
	text := err.Error() + "\n"
	w.Header().Set("Connection", "close")
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Content-Length", strconv.Itoa(len(text))) // its end is known before the handler's
	w.WriteHeader(i.status(err))
	_, _ = io.WriteString(w, text) //nolint:gosec // plain text by its header, and the caller may have left
	// The caller is still sending, and would find the connection closed instead of the answer.
	if control.Flush() == nil && control.SetReadDeadline(time.Now().Add(drainLimit)) == nil {
		_, _ = io.Copy(io.Discard, r.Body)
	}
	return nil
}
