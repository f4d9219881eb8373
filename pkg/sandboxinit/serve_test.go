package sandboxinit

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// ask sends a text to a server and returns what it answers.
func ask(t *testing.T, s *server, text string) initapi.Answer {
	t.Helper()
	ours, theirs := net.Pipe()
	var running sync.WaitGroup
	defer running.Wait()
	defer ours.Close()
	running.Go(func() { s.answer(theirs) })
	running.Go(func() { _, _ = io.WriteString(ours, text) }) // it may be broken off
	var out initapi.Answer
	if err := json.NewDecoder(ours).Decode(&out); err != nil {
		t.Fatalf("answer to %.100q: %v", text, err)
	}
	return out
}

func wantError(t *testing.T, got initapi.Answer, kind initapi.Kind, words string) {
	t.Helper()
	if got.Error == nil || got.Error.Kind != kind || !strings.Contains(got.Error.Message, words) {
		t.Errorf("answer %+v (%v), want an error of kind %s with %q", got, got.Error, kind, words)
	}
	if got.Version != initapi.Version {
		t.Errorf("the answer has version %d, want %d", got.Version, initapi.Version)
	}
}

func TestServerRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		request string
		kind    initapi.Kind
		words   string
	}{
		"unknown operation":  {`{"version":1,"op":"fly"}`, initapi.KindUnknown, `no operation "fly"`},
		"no operation":       {`{}`, initapi.KindUnknown, ""},
		"no source to check": {`{"op":"check"}`, initapi.KindUnknown, `"check" with these fields`},
		"no source to pin":   {`{"op":"pin","place":"a/1"}`, initapi.KindUnknown, ""},
		"no tmpfs":           {`{"op":"tmpfs"}`, initapi.KindUnknown, ""},
		"no size":            {`{"op":"shm"}`, initapi.KindUnknown, ""},
		"a negative size":    {`{"op":"shm","shm":-1}`, initapi.KindUnknown, ""},
		"kill the init":      {`{"op":"kill","pid":1}`, initapi.KindUnknown, ""},
		"kill all":           {`{"op":"kill","pid":-1}`, initapi.KindUnknown, ""},
		"no root":            {`{"op":"pin","place":"a/1","source":{"roots":[]}}`, initapi.KindInvalid, "no root"},
		"a root of the sandbox's own": {`{"op":"check","source":{"roots":[{"path":"/no-such-root"}]}}`, initapi.KindMissing,
			"was not on this node when the pod's sandbox was made"},
		"no JSON":        {"GET / HTTP/1.1\r\n\r\n", initapi.KindInvalid, "cannot be read"},
		"another type":   {`{"op":7}`, initapi.KindInvalid, "cannot be read"},
		"too long":       {`{"op":"` + strings.Repeat("a", requestLimit), initapi.KindInvalid, "it is too long"},
		"of later":       {`{"version":99,"op":"check","glide":true}`, initapi.KindUnknown, ""},
		"place outside":  {`{"op":"pin","place":"../x","source":{"roots":[{"path":"/"}]}}`, initapi.KindInvalid, "CONTAINER/NUMBER"},
		"place too deep": {`{"op":"pin","place":"a/b/c","source":{"roots":[{"path":"/"}]}}`, initapi.KindInvalid, "CONTAINER/NUMBER"},
	} {
		t.Run(name, func(t *testing.T) { wantError(t, ask(t, &server{}, c.request), c.kind, c.words) })
	}
}

// TestServerWaits for the rest of a request, but not for ever.
func TestServerWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		wantError(t, ask(t, &server{}, `{"version":1,"op":"sta`), initapi.KindInvalid, "cannot be read")
		if took := time.Since(began); took != askTime {
			t.Errorf("it waited %s, want %s", took, askTime)
		}
	})
	// A caller that goes away in the middle of it.
	ours, theirs := net.Pipe()
	var running sync.WaitGroup
	running.Go(func() { (&server{}).answer(theirs) })
	if _, err := io.WriteString(ours, `{"version":1,"op":`); err != nil {
		t.Error(err)
	}
	ours.Close()
	running.Wait()
}

func TestServerStart(t *testing.T) {
	s := &server{standby: true, started: make(chan bool, 1)}
	wantState := func(want initapi.State) {
		t.Helper()
		got := ask(t, s, `{"op":"status"}`)
		if got.Version != initapi.Version || got.Error != nil || got.State == nil || got.State.Standby != want.Standby || !got.State.EngineStarted.Equal(want.EngineStarted) {
			t.Errorf("status is %+v, want %+v", got, want)
		}
	}
	wantState(initapi.State{Standby: true})
	// Again is success, and changes nothing: it would wait for ever if it were sent again.
	for _, current := range []bool{true, false, false} {
		if got := ask(t, s, fmt.Sprintf(`{"op":"start","current":%t}`, current)); got.Error != nil {
			t.Errorf("start is %v", got.Error)
		}
	}
	if current := <-s.started; !current || len(s.started) > 0 {
		t.Errorf("it was started with %t and %d more", current, len(s.started))
	}
	at := time.Now()
	s.engineStarted(at)
	wantState(initapi.State{EngineStarted: at})
}
