package admin

import (
	"context"
	"errors"
	"html/template"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// Bounds of the log on a page: its last lines, of them the last bytes, what reading it may
// take, and how many are read at a time. An engine reads through a line of any length.
const (
	logLines   = 100
	logBytes   = 64 << 10
	logLimit   = 3 * time.Second
	logReaders = 4
)

// LogQuery selects the last lines of a container's log.
type LogQuery struct {
	UID       types.UID
	Container string
	// Previous is the run before the present one.
	Previous bool
	Lines    int
}

// logTail is the end of one container's log, for the owner.
type logTail struct {
	Tabs      []logTab
	Container string
	Previous  bool
	Text      string
	// Trouble says why there is none; Slow that reading it took too long.
	Trouble string
	Slow    bool
}

// Lines and Bytes are the bounds, for people.
func (logTail) Lines() int   { return logLines }
func (logTail) Bytes() int64 { return logBytes }

// logTab leads to the log of a container.
type logTab struct {
	Name   string
	Link   template.URL
	Chosen bool
}

// tail reads the end of the log that the request asks for, by default that of the first
// container.
func (p *pages) tail(r *http.Request, into Inside, uid types.UID, d Description) *logTail {
	query := r.URL.Query()
	out := &logTail{Container: query.Get("container"), Previous: query.Get("previous") == "true"}
	known := false
	for _, c := range d.Containers {
		known = known || c.Spec.Name == out.Container
	}
	if !known {
		out.Container, out.Previous = first(d), false
	}
	for _, c := range d.Containers {
		name := c.Spec.Name
		out.tab(name, name, false)
		if c.Status.RestartCount > 0 {
			out.tab(name+", run before", name, true)
		}
	}
	ctx, cancel := context.WithTimeout(r.Context(), logLimit)
	defer cancel()
	if err := p.readers.Acquire(ctx, 1); err != nil {
		out.Trouble = "Other logs are being read, this one is shown in a moment."
		return out
	}
	defer p.readers.Release(1)
	var end ending
	err := into.Log(ctx, LogQuery{UID: uid, Container: out.Container, Previous: out.Previous, Lines: logLines}, &end)
	switch {
	case errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil:
		out.Slow = true
		out.Trouble = "The log could not be read within " + logLimit.String() + ": docker-sd logs prints all of it."
	case err != nil:
		out.Trouble = err.Error()
	default:
		out.Text = end.text()
	}
	return out
}

// first is the first main container of a pod.
func first(d Description) string {
	for _, c := range d.Containers {
		if !c.Init {
			return c.Spec.Name
		}
	}
	return ""
}

func (t *logTail) tab(text, container string, previous bool) {
	query := url.Values{"container": {container}}
	if previous {
		query.Set("previous", "true")
	}
	t.Tabs = append(t.Tabs, logTab{Name: text, Link: template.URL("?" + query.Encode()), //nolint:gosec // escaped
		Chosen: t.Container == container && t.Previous == previous})
}

// ending keeps the last bytes of what is written.
type ending struct {
	kept []byte
	// cut says that the first line of them is a part.
	cut bool
}

var _ io.Writer = &ending{}

// Write does not fail.
func (e *ending) Write(b []byte) (int, error) {
	n := len(b)
	if n > logBytes {
		b, e.kept, e.cut = b[n-logBytes:], e.kept[:0], true
	}
	if over := len(e.kept) + len(b) - logBytes; over > 0 {
		e.kept, e.cut = append(e.kept[:0], e.kept[over:]...), true
	}
	e.kept = append(e.kept, b...)
	return n, nil
}

// colours are the sequences by which programs colour their words on a terminal. All else
// that steers one is shown; see visible.
var colours = regexp.MustCompile("\x1b\\[[0-9;:]*m")

// text is what was kept, without a part of a character or of a line at its beginning unless
// the line is all there is.
func (e *ending) text() string {
	text := strings.ToValidUTF8(string(e.kept), "\ufffd")
	text = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(colours.ReplaceAllString(text, ""))
	if e.cut {
		if _, rest, found := strings.Cut(text, "\n"); found && rest != "" {
			text = rest
		}
	}
	// Progress bars are drawn again and again in one line.
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-logLines):], "\n")
}
