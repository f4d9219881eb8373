package admin_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"

	"github.com/containerd/errdefs"
	"k8s.io/apimachinery/pkg/types"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/admin"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/relay"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/remotecommand"
)

// rooms is an Inside with one pod, u1.
type rooms struct {
	// far are the other ends of the connections to its ports.
	far chan relay.Conn
	// began has a value for each command, ended for each that has been told to end.
	began, ended chan struct{}

	// description and log, where they are not the usual ones.
	description *admin.Description
	log         func(admin.LogQuery, io.Writer) error
	// any says that there is a pod of any UID, hangs that no log is read to its end.
	any, hangs bool

	mu      sync.Mutex
	written bytes.Buffer
}

func newRooms() *rooms {
	return &rooms{far: make(chan relay.Conn, 10), began: make(chan struct{}, 10), ended: make(chan struct{}, 10)}
}

func check(uid types.UID) error {
	switch uid {
	case "u1":
		return nil
	case "away":
		return fmt.Errorf("the sandbox does not answer: %w", errdefs.ErrUnavailable)
	}
	return fmt.Errorf("pod %s is not here: %w", uid, errdefs.ErrNotFound)
}

func (r *rooms) Describe(uid types.UID) (admin.Description, error) {
	if r.description != nil {
		if r.any {
			return *r.description, nil
		}
		return *r.description, check(uid)
	}
	return admin.Description{Pod: podstatus.View{UID: uid, Name: "fit"}}, check(uid)
}

// Exec echoes its input, or waits, as the command says.
func (r *rooms) Exec(uid types.UID, container string) (admin.Exec, error) {
	if err := check(uid); err != nil {
		return nil, err
	}
	if container == "over" {
		return nil, fmt.Errorf("container over has ended with exit code 9: %w", errdefs.ErrFailedPrecondition)
	}
	return func(ctx context.Context, p admin.Process, s remotecommand.Streams) (int, error) {
		r.began <- struct{}{}
		if p.Command[0] == "wait" {
			<-ctx.Done()
			r.ended <- struct{}{}
			return 0, ctx.Err()
		}
		fmt.Fprintf(s.Stderr, "%q %t", p.Command, p.TTY)
		_, err := io.Copy(s.Stdout, s.Stdin)
		return 6, err
	}, nil
}

func (r *rooms) Connect(_ context.Context, uid types.UID, port uint16) (relay.Conn, error) {
	if err := check(uid); err != nil {
		return nil, err
	}
	if port != 80 {
		return nil, fmt.Errorf("nothing listens at port %d: %w", port, errdefs.ErrFailedPrecondition)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer listener.Close()
	near, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		return nil, err
	}
	far, err := listener.Accept()
	if err != nil {
		return nil, err
	}
	r.far <- far.(relay.Conn)
	return near.(relay.Conn), nil
}

// Log says who was asked for which log.
func (r *rooms) Log(ctx context.Context, q admin.LogQuery, w io.Writer) error {
	if r.hangs {
		<-ctx.Done()
		return ctx.Err()
	}
	if r.log != nil {
		return r.log(q, w)
	}
	_, err := fmt.Fprintf(w, "log of %s, previous %t, %d lines", q.Container, q.Previous, q.Lines)
	return errors.Join(err, check(q.UID))
}

func (r *rooms) Stat(_ context.Context, uid types.UID, _, path string) (admin.FileStat, error) {
	return admin.FileStat{Name: path, Mode: os.ModeDir | 0o755}, check(uid)
}

func (r *rooms) Read(_ context.Context, uid types.UID, container, path string) (io.ReadCloser, error) {
	if path == "/broken" {
		return io.NopCloser(io.MultiReader(strings.NewReader("half"), broken{})), nil
	}
	return io.NopCloser(strings.NewReader(container + " " + path)), check(uid)
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, errors.New("the sandbox stopped") }

func (r *rooms) Write(_ context.Context, uid types.UID, _, path string, files io.Reader) error {
	if path == "/full" {
		_, _ = io.CopyN(io.Discard, files, 1<<20)
		return fmt.Errorf("no space left: %w", errdefs.ErrFailedPrecondition)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	_, err := io.Copy(&r.written, files)
	return errors.Join(err, check(uid))
}
