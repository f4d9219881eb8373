package engine

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/docker/api/types/registry"
	"github.com/google/go-cmp/cmp"
)

func TestLogs(t *testing.T) {
	framed := frame(1, "one\n") + frame(2, "two\n") + frame(1, "three\n")
	for name, c := range map[string]struct {
		options LogOptions
		body    string
		want    string
		query   url.Values
	}{
		"both streams in order": {LogOptions{}, framed, "one\ntwo\nthree\n",
			url.Values{"stdout": {"1"}, "stderr": {"1"}, "tail": {""}}},
		"terminal": {LogOptions{TTY: true}, stamp(1) + "raw\r\n" + stamp(2) + "end", "raw\r\nend",
			url.Values{"stdout": {"1"}, "stderr": {"1"}, "tail": {""}, "timestamps": {"1"}}},
		"selected": {LogOptions{Tail: 7, Since: time.Unix(5, 6), Timestamps: true, Follow: true}, framed, "one\ntwo\nthree\n",
			url.Values{"stdout": {"1"}, "stderr": {"1"}, "tail": {"8"}, "since": {"5.000000006"}, "timestamps": {"1"}, "follow": {"1"}}},
		"empty": {LogOptions{}, "", "", url.Values{"stdout": {"1"}, "stderr": {"1"}, "tail": {""}}},
	} {
		t.Run(name, func(t *testing.T) {
			var query url.Values
			client, _ := serve(t, map[string]http.HandlerFunc{"GET /containers/x/logs": func(w http.ResponseWriter, r *http.Request) {
				query = r.URL.Query()
				io.WriteString(w, c.body)
			}})
			var out bytes.Buffer
			if err := client.Logs(t.Context(), "x", c.options, &out); err != nil || out.String() != c.want {
				t.Errorf("Logs() = %v with %q, want %q", err, out.String(), c.want)
			}
			if diff := cmp.Diff(c.query, query); diff != "" {
				t.Errorf("query (-want +got):\n%s", diff)
			}
		})
	}
}

// stamp is how an engine writes the time before a piece.
func stamp(second int) string { return fmt.Sprintf("2026-01-02T03:04:%02d.000000000Z ", second) }

// TestLinesOfTerminals: a line of several pieces is one line with one stamp, and one of
// those that a tail counts.
func TestLinesOfTerminals(t *testing.T) {
	full := strings.Repeat("x", pieceText)
	pieces := []string{"one\r\n", full, full, "y\r\n", full, "\r\n", stamp(9) + "not\r\n", "no end"}
	text := strings.Join(pieces, "")
	client, _ := serve(t, map[string]http.HandlerFunc{"GET /containers/x/logs": func(w http.ResponseWriter, r *http.Request) {
		from := 0
		if n, err := strconv.Atoi(r.URL.Query().Get("tail")); err == nil {
			from = max(len(pieces)-n, 0)
		}
		for i, piece := range pieces[from:] {
			io.WriteString(w, stamp(from+i)+piece)
		}
	}})
	stamped := stamp(0) + "one\r\n" + stamp(1) + full + full + "y\r\n" + stamp(4) + full + "\r\n" + stamp(6) + stamp(9) + "not\r\n" + stamp(7) + "no end"
	for name, c := range map[string]struct {
		options LogOptions
		want    string
	}{
		"all":         {LogOptions{}, text},
		"with stamps": {LogOptions{Timestamps: true}, stamped},
		"one line":    {LogOptions{Tail: 1}, "no end"},
		"three":       {LogOptions{Tail: 3}, full + "\r\n" + stamp(9) + "not\r\nno end"},
		"four":        {LogOptions{Tail: 4, Timestamps: true}, stamped[len(stamp(0)+"one\r\n"):]},
		"more":        {LogOptions{Tail: 40}, text},
	} {
		c.options.TTY = true
		var out bytes.Buffer
		if err := client.Logs(t.Context(), "x", c.options, &out); err != nil || out.String() != c.want {
			t.Errorf("%s: %v, %d bytes that end with %q, want %d", name, err, out.Len(), out.String()[max(out.Len()-60, 0):], len(c.want))
		}
	}
}

// TestLinesWithoutEnds: the driver local of engine 20.10 drops the end of a line that came in
// pieces.
func TestLinesWithoutEnds(t *testing.T) {
	full := strings.Repeat("x", pieceText)
	pieces := []string{"one\n", full, full, "y", full, "", "no end"}
	const lines = "one\nFFy\nF\nno end"
	want := func(text string) string { return strings.ReplaceAll(text, "F", full) }
	for _, tty := range []bool{false, true} {
		client, _ := serve(t, map[string]http.HandlerFunc{"GET /containers/x/logs": func(w http.ResponseWriter, r *http.Request) {
			from := 0
			if n, err := strconv.Atoi(r.URL.Query().Get("tail")); err == nil {
				from = max(len(pieces)-n, 0)
			}
			for i, text := range pieces[from:] {
				if r.URL.Query().Get("timestamps") == "1" {
					text = stamp(from+i) + text
				}
				if !tty {
					text = frame(1, text)
				}
				io.WriteString(w, text)
			}
		}})
		for name, c := range map[string]struct {
			options LogOptions
			want    string
		}{
			"all":    {LogOptions{}, lines},
			"stamps": {LogOptions{Timestamps: true}, stamp(0) + "one\n" + stamp(1) + "FFy\n" + stamp(4) + "F\n" + stamp(6) + "no end"},
			"one":    {LogOptions{Tail: 1}, "no end"},
			"two":    {LogOptions{Tail: 2}, "F\nno end"},
			"three":  {LogOptions{Tail: 3}, "FFy\nF\nno end"},
			"more":   {LogOptions{Tail: 30}, lines},
		} {
			c.options.TTY = tty
			var out bytes.Buffer
			if err := client.Logs(t.Context(), "x", c.options, &out); err != nil || out.String() != want(c.want) {
				t.Errorf("terminal %t, %s: %v, %q, want %q", tty, name, err, strings.ReplaceAll(out.String(), full, "F"), c.want)
			}
		}
	}
}

// TestFollowWithoutReplays: what an engine sends again after a rotation is left out, and
// nothing else: not the pieces of a line, which have one stamp, nor what comes after the clock was set
// back.
func TestFollowWithoutReplays(t *testing.T) {
	full := strings.Repeat("x", pieceText)
	at := func(second int, text string) string { return frame(1, stamp(second)+text) }
	errors := func(second int, text string) string { return frame(2, stamp(second)+text) }
	body := at(1, "one\n") + errors(7, "error\n") + at(3, "three\n") + at(5, full) + at(5, "five\n") +
		at(3, "three\n") + errors(7, "again\n") + at(5, full) + at(5, "five\n") + at(6, "six\n") + at(6, "six\n") + at(6, "of the same moment\n") +
		at(2, "set back\n") + at(4, "later\n") + at(6, "last\n")
	client, _ := serve(t, map[string]http.HandlerFunc{"GET /containers/x/logs": func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, body) }})
	var out bytes.Buffer
	const want = "one\nerror\nthree\nFfive\nagain\nsix\nof the same moment\nset back\nlater\nlast\n"
	err := client.Logs(t.Context(), "x", LogOptions{Follow: true}, &out)
	if got := strings.ReplaceAll(out.String(), full, "F"); err != nil || got != want {
		t.Errorf("Logs() = %v with %q, want %q", err, got, want)
	}
	out.Reset()
	if err := client.Logs(t.Context(), "x", LogOptions{Timestamps: true}, &out); err != nil || strings.Count(out.String(), "three") != 2 {
		t.Errorf("a log that is not followed = %v with %q", err, strings.ReplaceAll(out.String(), full, "F"))
	}
}

func TestLogsThatBreak(t *testing.T) {
	client, _ := serve(t, map[string]http.HandlerFunc{
		"GET /containers/x/logs":    breaksOff(frame(1, "one\n") + frame(1, "two\n")[:9]),
		"GET /containers/gone/logs": says(404, `{"message":"No such container: gone"}`),
	})
	var out bytes.Buffer
	if err := client.Logs(t.Context(), "x", LogOptions{}, &out); err == nil || out.String() != "one\n" {
		t.Errorf("Logs() of a connection that broke = %v with %q, want an error after the first line", err, out.String())
	}
	if err := client.Logs(t.Context(), "gone", LogOptions{}, &out); !errdefs.IsNotFound(err) {
		t.Errorf("Logs() of a container that is gone = %v, want ErrNotFound", err)
	}
}

func TestImage(t *testing.T) {
	client, _ := serve(t, map[string]http.HandlerFunc{
		"GET /images/i/json":    says(200, `{"Id":"sha256:1","RepoTags":["i:1"],"RepoDigests":["i@sha256:2"],"Size":9,"Config":{"User":"7"}}`),
		"GET /images/none/json": says(404, `{"message":"No such image: none"}`),
	})
	got, err := client.Image(t.Context(), "i")
	want := Image{ID: "sha256:1", Tags: []string{"i:1"}, Digests: []string{"i@sha256:2"}, User: "7", Size: 9}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("Image(): %v (-want +got):\n%s", err, diff)
	}
	if _, err := client.Image(t.Context(), "none"); !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), "none") {
		t.Errorf("Image() of none = %v, want ErrNotFound that names it", err)
	}
}

func TestPull(t *testing.T) {
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   string
		is     func(error) bool
	}{
		"complete":          {says(200, `{"status":"Pulling"}`+"\n"+`{"status":"Downloaded newer image"}`), "", nil},
		"refused at once":   {says(404, `{"message":"pull access denied for i"}`), "pull image i: ", errdefs.IsNotFound},
		"fails in a 200":    {says(200, `{"status":"Pulling"}`+"\n"+`{"errorDetail":{"message":"no space"},"error":"no space"}`), "pull image i: no space", nil},
		"breaks off":        {breaksOff(`{"status":"Pulling"}`), "pull image i: read the engine's progress", nil},
		"ends in a message": {breaksOff(`{"status":"Pu`), "pull image i: read the engine's progress", nil},
	} {
		t.Run(name, func(t *testing.T) {
			var auth registry.AuthConfig
			client, _ := serve(t, map[string]http.HandlerFunc{"POST /images/create": func(w http.ResponseWriter, r *http.Request) {
				sent, err := registry.DecodeAuthConfig(r.Header.Get("X-Registry-Auth"))
				if err != nil {
					t.Error(err)
				} else {
					auth = *sent
				}
				c.answer(w, r)
			}})
			err := client.Pull(t.Context(), "i", Credentials{User: "u", Password: "s3cret", Server: "r.example"}, nil)
			switch {
			case c.want == "" && err != nil:
				t.Errorf("Pull(): %v", err)
			case c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.want) || c.is != nil && !c.is(err)):
				t.Errorf("Pull() = %v, want %q", err, c.want)
			case err != nil && strings.Contains(err.Error(), "s3cret"):
				t.Errorf("the error shows the password: %v", err)
			}
			if want := (registry.AuthConfig{Username: "u", Password: "s3cret", ServerAddress: "r.example"}); auth != want {
				t.Errorf("credentials of user %q for %q reached the engine", auth.Username, auth.ServerAddress)
			}
		})
	}
}

func TestCopyImage(t *testing.T) {
	for name, c := range map[string]struct {
		save, load http.HandlerFunc
		id, want   string
	}{
		"by tag":      {says(200, "archive"), says(200, `{"stream":"Loaded image: i:1\n"}`), "sha256:there", ""},
		"by id":       {says(200, "archive"), says(200, `{"status":"Loading layer"}{"stream":"Loaded image ID: sha256:there\n"}`), "sha256:there", ""},
		"not on host": {says(404, `{"message":"No such image: i"}`), nil, "", "save image i: "},
		"load fails":  {says(200, "archive"), says(200, `{"stream":"x"}{"error":"no space left on device"}`), "", "load image i: no space left on device"},
		"unnamed":     {says(200, "archive"), says(200, `{"stream":"done"}`), "", "load image i: the engine did not name what it loaded"},
		"breaks off":  {breaksOff("archive"), says(200, `{"stream":"Loaded image: i:1\n"}`), "", "load image i: "},
	} {
		t.Run(name, func(t *testing.T) {
			from, _ := serve(t, map[string]http.HandlerFunc{"GET /images/get": c.save})
			to, _ := serve(t, map[string]http.HandlerFunc{"POST /images/load": c.load,
				"GET /images/i:1/json":          says(200, `{"Id":"sha256:there"}`),
				"GET /images/sha256:there/json": says(200, `{"Id":"sha256:there"}`)})
			id, err := from.CopyImage(t.Context(), to, "i")
			if c.want == "" && (err != nil || id != c.id) {
				t.Errorf("CopyImage() = %q, %v, want %q", id, err, c.id)
			}
			if c.want != "" && (err == nil || !strings.HasPrefix(err.Error(), c.want)) {
				t.Errorf("CopyImage() = %q, %v, want %q", id, err, c.want)
			}
		})
	}
}

func TestWatchImages(t *testing.T) {
	release := make(chan struct{})
	client, _ := serve(t, map[string]http.HandlerFunc{"GET /events": func(w http.ResponseWriter, r *http.Request) {
		if since := r.URL.Query().Get("since"); since != "5.000000006" {
			t.Errorf("events since %q", since)
		}
		flush := http.NewResponseController(w)
		io.WriteString(w, `{"Type":"image","Action":"pull"}`+"\n"+`{"Type":"image","Action":"tag"}`+"\n")
		flush.Flush()
		<-release
	}})
	arrived := 0
	err := client.WatchImages(t.Context(), time.Unix(5, 6), time.Millisecond, func() {
		if arrived++; arrived == 1 {
			close(release)
		}
	})
	if err == nil || arrived < 1 || arrived > 2 {
		t.Errorf("WatchImages() = %v after %d arrivals, want an error once the stream ends and few arrivals", err, arrived)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := client.WatchImages(ctx, time.Now(), time.Millisecond, func() {}); err == nil {
		t.Error("WatchImages() of a caller that left succeeded")
	}
}

func TestRanOutOfMemory(t *testing.T) {
	for name, c := range map[string]struct {
		body string
		want bool
	}{
		"the engine heard of it": {`{"Type":"container","Action":"oom","Actor":{"ID":"x"}}`, true},
		"it did not":             {"", false},
	} {
		t.Run(name, func(t *testing.T) {
			var query url.Values
			client, _ := serve(t, map[string]http.HandlerFunc{"GET /events": func(w http.ResponseWriter, r *http.Request) {
				query = r.URL.Query()
				io.WriteString(w, c.body)
			}})
			got, err := client.RanOutOfMemory(t.Context(), "x", time.Unix(5, 6), time.Second)
			if got != c.want || err != nil {
				t.Errorf("RanOutOfMemory() = %t, %v, want %t", got, err, c.want)
			}
			if query.Get("since") != "5.000000006" || query.Get("until") == "" || query.Get("filters") != `{"container":{"x":true},"event":{"oom":true}}` {
				t.Errorf("it asked with %v", query)
			}
		})
	}
}
