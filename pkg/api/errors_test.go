package api_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/api"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes"
)

func TestStatusCode(t *testing.T) {
	for name, c := range map[string]struct {
		err  error
		want int
	}{
		"too large":             {&http.MaxBytesError{Limit: 1}, 413},
		"caller left":           {context.Canceled, 499},
		"invalid":               {errdefs.ErrInvalidArgument, 400},
		"not found":             {errdefs.ErrNotFound, 404},
		"conflict":              {errdefs.ErrConflict, 409},
		"exists":                {errdefs.ErrAlreadyExists, 409},
		"deleted before":        {errdefs.ErrFailedPrecondition, 409},
		"full":                  {errdefs.ErrResourceExhausted, 429},
		"away":                  {errdefs.ErrUnavailable, 503},
		"late":                  {context.DeadlineExceeded, 503},
		"internal":              {errdefs.ErrInternal, 500},
		"unknown":               {errors.New("anything"), 500},
		"two classes":           {fmt.Errorf("%w: %w", errdefs.ErrInvalidArgument, errdefs.ErrUnavailable), 400},
		"too large and invalid": {fmt.Errorf("%w: %w", errdefs.ErrInvalidArgument, &http.MaxBytesError{}), 413},
	} {
		t.Run(name, func(t *testing.T) {
			for _, err := range []error{c.err, classed(c.err), errors.Join(errors.New("other"), c.err)} {
				if got := api.StatusCode(err); got != c.want {
					t.Errorf("StatusCode(%v) = %d, want %d", err, got, c.want)
				}
			}
		})
	}
}

func TestMessageIsBounded(t *testing.T) {
	for name, text := range map[string]string{
		"ASCII":  strings.Repeat("x", 3*api.MaxErrorText),
		"UTF-8":  strings.Repeat("\u20ac", api.MaxErrorText),
		"broken": strings.Repeat("\xff", 2*api.MaxErrorText),
	} {
		t.Run(name, func(t *testing.T) {
			got := api.Message(errors.New(text))
			if len(got) > api.MaxErrorText+len(" ...") || !utf8.ValidString(got) || !strings.HasSuffix(got, " ...") {
				t.Errorf("Message() has %d bytes, valid %v, want at most %d that say they are cut",
					len(got), utf8.ValidString(got), api.MaxErrorText)
			}
		})
	}
	if got := api.Message(errors.New(" short\n")); got != "short" {
		t.Errorf("Message() = %q, want the text as it is", got)
	}
}

func TestErrorsReachTheCaller(t *testing.T) {
	s := readyServer(fakePods{create: func(context.Context, *v1.Pod, volumes.Data) (string, error) {
		return "", fmt.Errorf("spec.hostPID is not supported: %w", errdefs.ErrInvalidArgument)
	}})
	got := call(s, "POST", "/create", strings.NewReader(`{"pod":{}}`))
	wantAnswer(t, got, 400, "spec.hostPID is not supported")
	if kind := got.Header().Get("Content-Type"); kind != "text/plain; charset=utf-8" {
		t.Errorf("error text of type %q", kind)
	}
}

func TestSessionCannotForgeLogLines(t *testing.T) {
	var session any
	s := readyServer(fakePods{create: func(ctx context.Context, _ *v1.Pod, _ volumes.Data) (string, error) {
		session = log.G(ctx).Data["session"]
		return "jid", nil
	}})
	for name, header := range map[string]string{
		"plain": "CreatePod#1", "line break": "a\nlevel=error msg=forged", "control": "\x1b[31mred", "quote": `a" code=200 "b`,
		"long": strings.Repeat("y", 5000), "broken": "\xff\xfe",
	} {
		t.Run(name, func(t *testing.T) {
			wantAnswer(t, call(s, "POST", "/create", strings.NewReader(`{"pod":{}}`), "InterLink-Http-Session", header), 200, "jid")
			text := fmt.Sprint(session)
			if len(text) > 300 || strings.ContainsAny(text, "\n\r\x1b") || strings.Contains(strings.ReplaceAll(text, `\"`, ""), `"`) {
				t.Errorf("session %q is logged as %s", header, text)
			}
		})
	}
	call(s, "POST", "/create", strings.NewReader(`{"pod":{}}`))
	if session != nil {
		t.Errorf("a call without a session is logged with %v", session)
	}
}

// TestMessageForUsers: interLink escapes HTML, and the class is for machines.
func TestMessageForUsers(t *testing.T) {
	for text, want := range map[string]string{
		`image "a<b>" isn't there & more`: "image `a(b)` isn`t there + more",
		"plain":                           "plain",
	} {
		for _, err := range []error{errors.New(text), fmt.Errorf("%s: %w", text, errdefs.ErrInvalidArgument),
			fmt.Errorf("%s: %w: %w", text, errdefs.ErrConflict, errdefs.ErrInvalidArgument)} {
			if got := api.Message(err); got != want {
				t.Errorf("Message(%v) = %s, want %s", err, got, want)
			}
		}
	}
	if got := api.Message(fmt.Errorf("read the list: %w", errdefs.ErrPermissionDenied)); got != "read the list: permission denied" {
		t.Errorf("a class that says something is left out: %s", got)
	}
}
