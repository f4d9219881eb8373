package sandboxinit

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"slices"
	"sync"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandboxinit/mounts"
)

// FuzzRequest sends anything to the server, but for the operations that change the
// machine's own mounts and processes. Each request has one answer, and leaves nothing
// open.
func FuzzRequest(f *testing.F) {
	for _, seed := range []string{
		`{"version":1,"op":"status"}`, `{"op":"start","current":true}`, `{"op":"check","source":{"roots":[{"path":"/proc"}],"path":"self/../x","type":"File"}}`,
		`{"op":"pin","place":"c/0","source":{"roots":[],"path":"a"}}`, `{"op":"kill","pid":-7}`, `{"op":"shm","shm":1e9}`,
		`{"op":"status"}{"op":"fly"}`, `{"op":`, `[]`, `null`, "\x00", `{"op":"check","source":{"private":[{"device":-1}]}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var request initapi.Request
		decoded := json.NewDecoder(bytes.NewReader(text)).Decode(&request) == nil
		if decoded && slices.Contains([]string{initapi.OpTmpfs, initapi.OpAmend, initapi.OpHugePages, initapi.OpHugetlbfs, initapi.OpShm, initapi.OpSysctl, initapi.OpKill, initapi.OpPin, initapi.OpCheck,
			initapi.OpFuse, initapi.OpEndFuse, initapi.OpGroupOOM}, request.Op) {
			return
		}
		s := &server{standby: true, started: make(chan bool, 1), exports: &mounts.Exports{}}
		ours, theirs := net.Pipe()
		var running sync.WaitGroup
		defer running.Wait()
		defer ours.Close()
		running.Go(func() { s.answer(theirs) })
		// The rest of a request that is cut short is waited for; the pipe's end is its end.
		running.Go(func() { _, _ = ours.Write(append(text, "\x00"...)) })
		answers := json.NewDecoder(ours)
		var got initapi.Answer
		if err := answers.Decode(&got); err != nil || got.Version != initapi.Version {
			t.Fatalf("answer to %q: %+v, %v", text, got, err)
		}
		if known := decoded && (request.Op == initapi.OpStatus || request.Op == initapi.OpStart); known != (got.Error == nil) {
			t.Errorf("answer to %q: %+v", text, got)
		}
		if err := answers.Decode(&got); err != io.EOF {
			t.Errorf("a second answer to %q: %+v, %v", text, got, err)
		}
	})
}
