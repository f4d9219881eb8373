package main

import (
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"sync"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// fakeInit pretends to be the init of a sandbox whose engine has been started.
type fakeInit struct {
	calls    *tally
	listener net.Listener
	group    sync.WaitGroup
}

// startInit serves in a sandbox's folder until it is closed.
func startInit(folder string, calls *tally) (*fakeInit, error) {
	listener, err := net.Listen("unix", filepath.Join(folder, initapi.SocketName))
	if err != nil {
		return nil, fmt.Errorf("serve an init: %w", err)
	}
	f := &fakeInit{calls: calls, listener: listener}
	f.group.Go(f.serve)
	return f, nil
}

func (f *fakeInit) close() {
	_ = f.listener.Close() // of a folder that is gone already
	f.group.Wait()
}

func (f *fakeInit) serve() {
	for {
		conn, err := f.listener.Accept()
		if err != nil {
			return
		}
		f.group.Go(func() { f.answer(conn) })
	}
}

func (f *fakeInit) answer(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	var request initapi.Request
	if err := json.NewDecoder(conn).Decode(&request); err != nil {
		f.calls.unexpected("an init was sent: " + err.Error())
		return
	}
	f.calls.note("init " + request.Op)
	out := initapi.Answer{Version: initapi.Version}
	switch request.Op {
	case initapi.OpStatus:
		out.State = &initapi.State{}
	case initapi.OpKill, initapi.OpCheck, initapi.OpTmpfs, initapi.OpShm, initapi.OpSysctl:
	case initapi.OpPin:
		out.Path = "/run/docker-sd/pins/" + request.Place
	default:
		f.calls.unexpected("init " + request.Op)
		out.Error = &initapi.Error{Kind: initapi.KindUnknown, Message: "these inits cannot do that"}
	}
	_ = json.NewEncoder(conn).Encode(out) // a caller that has left asks again
}
