package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/api"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/interlink"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podlogs"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes"
)

const createBody = `{"pod":{"metadata":{"name":"p","namespace":"n","uid":"` + uid + `"}},
	"container":[{"name":"c","configMaps":[{"metadata":{"name":"cm"},"data":{"k":"v"}}],"projectedvolumemaps":[{"metadata":{"name":"pv"}}],
	"secrets":[{"metadata":{"name":"s"}}],"emptyDirs":null}],"jobConfig":{}}`

func TestCreate(t *testing.T) {
	for name, body := range map[string]string{"object": createBody, "list of one": " [" + createBody + "]\n"} {
		for _, method := range []string{"POST", "GET", "PUT"} {
			t.Run(name+" "+method, func(t *testing.T) {
				s := readyServer(fakePods{create: func(_ context.Context, pod *v1.Pod, data volumes.Data) (string, error) {
					if pod.UID != uid || data.ConfigMaps["cm"].Data["k"] != "v" || len(data.Secrets) != 1 || len(data.Projected) != 1 {
						t.Errorf("Create() of pod %q with %d ConfigMaps, %d secrets, %d projected", pod.UID, len(data.ConfigMaps), len(data.Secrets), len(data.Projected))
					}
					return "name_dind", nil
				}})
				got := call(s, method, "/create", strings.NewReader(body))
				var answer map[string]any
				if err := json.Unmarshal(got.Body.Bytes(), &answer); err != nil || got.Code != 200 {
					t.Fatalf("answer %d %q: %v", got.Code, got.Body, err)
				}
				if diff := cmp.Diff(map[string]any{"PodUID": uid, "PodJID": "name_dind"}, answer); diff != "" {
					t.Errorf("answer (-want +got):\n%s", diff)
				}
			})
		}
	}
}

func TestCallsOutliveTheirCaller(t *testing.T) {
	for path, c := range map[string]struct{ body, want string }{
		"/create": {createBody, "jid"},
		"/delete": {`{"metadata":{"uid":"` + uid + `"}}`, "deleted"},
	} {
		t.Run(path, func(t *testing.T) {
			ctx, hangUp := context.WithCancel(t.Context())
			defer hangUp()
			s := readyServer(fakePods{
				create: func(ctx context.Context, _ *v1.Pod, _ volumes.Data) (string, error) {
					hangUp()
					return "jid", ctx.Err()
				},
				delete: func(ctx context.Context, _ types.UID, _ *int64) error { hangUp(); return ctx.Err() },
			})
			wantAnswer(t, answer(s, httptest.NewRequestWithContext(ctx, "POST", path, strings.NewReader(c.body))), 200, c.want)
		})
	}
}

func TestRefusedBodies(t *testing.T) {
	s := readyServer(fakePods{})
	large := strings.Repeat(" ", maxBody) + "{}"
	for _, c := range []struct {
		name, path, body string
		code             int
		text             string
	}{
		{"empty create", "/create", "", 400, "the body is empty"},
		{"broken create", "/create", `{"pod":`, 400, "not the JSON"},
		{"two pods", "/create", `[{},{}]`, 400, "exactly one"},
		{"no pod in the list", "/create", `[]`, 400, "exactly one"},
		{"text", "/create", `hello`, 400, "not the JSON"},
		{"two values", "/create", `{}{}`, 400, "not the JSON"},
		{"large create", "/create", large, 413, "larger than 65536 bytes (MaxBodyBytes)"},
		{"broken status", "/status", `[{"metadata":7}]`, 400, "not the JSON"},
		{"object as status", "/status", `{}`, 400, "not the JSON"},
		{"large status", "/status", large, 413, "MaxBodyBytes"},
		{"empty delete", "/delete", "", 400, "the body is empty"},
		{"broken delete", "/delete", `{"metadata":{"uid":`, 400, "not the JSON"},
		{"large delete", "/delete", large, 413, "MaxBodyBytes"},
		{"empty logs", "/getLogs", "", 400, "the body is empty"},
		{"broken logs", "/getLogs", `{"Opts":{"Tail":"7"}}`, 400, "not the JSON"},
		{"negative tail", "/getLogs", `{"Opts":{"Tail":-1}}`, 400, "must not be negative"},
		{"negative bytes", "/getLogs", `{"Opts":{"Bytes":-1}}`, 400, "must not be negative"},
		{"negative since", "/getLogs", `{"Opts":{"SinceSeconds":-1}}`, 400, "must not be negative"},
		{"both since", "/getLogs", `{"Opts":{"SinceSeconds":1,"SinceTime":"2026-01-01T00:00:00Z"}}`, 400, "exclude each other"},
		{"large logs", "/getLogs", large, 413, "MaxBodyBytes"},
		{"other path", "/createX", "{}", 404, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			wantAnswer(t, call(s, "POST", c.path, strings.NewReader(c.body)), c.code, c.text)
		})
	}
}

func TestLargestBody(t *testing.T) {
	s := readyServer(fakePods{delete: func(context.Context, types.UID, *int64) error { return nil }})
	body := `{"metadata":{"uid":"` + uid + `"}}`
	wantAnswer(t, call(s, "POST", "/delete", strings.NewReader(body+strings.Repeat(" ", maxBody-len(body)))), 200, "deleted")
}

func TestPing(t *testing.T) {
	for name, body := range map[string]string{"empty list": "[]", "null": "null", "no body": "", "blanks": " \n"} {
		t.Run(name, func(t *testing.T) {
			// A ping is answered before earlier pods are taken over: else the node would not be ready.
			got := call(newServer(), "GET", "/status", strings.NewReader(body))
			if got.Code != 200 || got.Body.String() != `{"status":"ok"}` || got.Header().Get("Content-Type") != "application/json" {
				t.Errorf("answer %d %q of %q", got.Code, got.Body, got.Header())
			}
		})
	}
}

func TestStatus(t *testing.T) {
	s := readyServer(fakePods{status: func(pod *v1.Pod) (podstatus.Report, bool) {
		return podstatus.Report{JID: "j-" + pod.Name, Containers: []v1.ContainerStatus{{Name: "c"}}}, pod.Name != "unknown"
	}})
	ask := func(names ...string) []interlink.PodStatus {
		var list []string
		for _, name := range names {
			list = append(list, `{"metadata":{"name":"`+name+`","namespace":"n","uid":"`+uid+`"}}`)
		}
		got := call(s, "GET", "/status", strings.NewReader("["+strings.Join(list, ",")+"]"))
		var out []interlink.PodStatus
		if err := json.Unmarshal(got.Body.Bytes(), &out); err != nil || got.Code != 200 || out == nil {
			t.Fatalf("answer %d %q: %v, want a list", got.Code, got.Body, err)
		}
		return out
	}
	status := func(name string) interlink.PodStatus {
		return interlink.PodStatus{Name: name, UID: uid, Namespace: "n", JID: "j-" + name, Containers: []v1.ContainerStatus{{Name: "c"}}}
	}
	for _, c := range []struct {
		name string
		asks []string
		want []interlink.PodStatus
	}{
		{"one", []string{"a"}, []interlink.PodStatus{status("a")}},
		{"several", []string{"a", "b"}, []interlink.PodStatus{status("a"), status("b")}},
		{"unknown ones are left out", []string{"a", "unknown", "b"}, []interlink.PodStatus{status("a"), status("b")}},
		{"nothing to say", []string{"unknown"}, []interlink.PodStatus{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, ask(c.asks...)); diff != "" {
				t.Errorf("answer (-want +got):\n%s", diff)
			}
		})
	}
}

func TestDelete(t *testing.T) {
	var gotUID types.UID
	var gotGrace *int64
	s := readyServer(fakePods{delete: func(_ context.Context, uid types.UID, grace *int64) error {
		gotUID, gotGrace = uid, grace
		return nil
	}})
	wantAnswer(t, call(s, "POST", "/delete", strings.NewReader(`{"metadata":{"uid":"`+uid+`","deletionGracePeriodSeconds":7}}`)),
		200, "All containers for submitted Pods have been deleted")
	if gotUID != uid || gotGrace == nil || *gotGrace != 7 {
		t.Errorf("Delete(%q, %v), want %q with 7 s", gotUID, gotGrace, uid)
	}
	call(s, "POST", "/delete", strings.NewReader(`{"UID":"`+uid+`"}`))
	if gotUID != uid || gotGrace != nil {
		t.Errorf("Delete(%q, %v), want %q without a period of its own", gotUID, gotGrace, uid)
	}
}

func TestLogsErrorsBeforeTheFirstByte(t *testing.T) {
	s := readyServer(fakePods{logs: func(q podlogs.Query) (*podlogs.Source, error) { return nil, classed(errdefs.ErrNotFound) }})
	wantAnswer(t, call(s, "GET", "/getLogs", strings.NewReader(`{"PodUID":"`+uid+`"}`)), 404, "what was tried")
}

func TestLogQuery(t *testing.T) {
	now := time.Date(2026, 5, 1, 0, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		opts interlink.LogOptions
		want podlogs.Query
	}{
		"everything": {interlink.LogOptions{}, podlogs.Query{}},
		"options": {interlink.LogOptions{Tail: 3, Bytes: 4, Timestamps: true, Follow: true, Previous: true},
			podlogs.Query{Tail: 3, Bytes: 4, Timestamps: true, Follow: true, Previous: true}},
		"since seconds":    {interlink.LogOptions{SinceSeconds: 60}, podlogs.Query{Since: now.Add(-time.Minute)}},
		"since time":       {interlink.LogOptions{SinceTime: now}, podlogs.Query{Since: now}},
		"a century":        {interlink.LogOptions{SinceSeconds: api.MaxSinceSeconds}, podlogs.Query{Since: now.Add(-api.MaxSinceSeconds * time.Second)}},
		"more than a time": {interlink.LogOptions{SinceSeconds: 1 << 62}, podlogs.Query{}},
	} {
		t.Run(name, func(t *testing.T) {
			c.want.UID, c.want.Namespace, c.want.Container = uid, "n", "c"
			got, err := api.LogQuery(interlink.LogRequest{PodUID: uid, Namespace: "n", ContainerName: "c", Opts: c.opts}, now)
			if diff := cmp.Diff(c.want, got); err != nil || diff != "" {
				t.Errorf("query, %v (-want +got):\n%s", err, diff)
			}
		})
	}
}

func TestCallsBeforeReady(t *testing.T) {
	calls := map[string]string{"/create": createBody, "/delete": `{"metadata":{"uid":"` + uid + `"}}`, "/getLogs": `{"PodUID":"` + uid + `"}`}
	fake := fakePods{
		create: func(context.Context, *v1.Pod, volumes.Data) (string, error) { return "jid", nil },
		delete: func(context.Context, types.UID, *int64) error { return nil },
		logs:   func(podlogs.Query) (*podlogs.Source, error) { return nil, errdefs.ErrNotFound },
	}
	t.Run("status is refused", func(t *testing.T) {
		got := call(newServer(), "GET", "/status", strings.NewReader(`[{"metadata":{"uid":"`+uid+`"}}]`))
		wantAnswer(t, got, 503, "taking over the pods of its last run")
	})
	for path, body := range calls {
		t.Run(path+" waits", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				s := newServer()
				done := make(chan *response, 1)
				go func() { done <- call(s, "POST", path, strings.NewReader(body)) }()
				<-time.After(api.ReadyTimeout - time.Second)
				synctest.Wait()
				select {
				case got := <-done:
					t.Fatalf("answered %d before Ready", got.Code)
				default:
				}
				s.Ready(fake)
				s.Ready(fake)
				if got := <-done; path != "/getLogs" && got.Code != 200 || path == "/getLogs" && got.Code != 404 {
					t.Errorf("answer %d %q after Ready", got.Code, got.Body)
				}
			})
		})
		t.Run(path+" does not wait for ever", func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				start := time.Now()
				wantAnswer(t, call(newServer(), "POST", path, strings.NewReader(body)), 503, "still taking over")
				if took := time.Since(start); took != api.ReadyTimeout || took >= 120*time.Second {
					t.Errorf("refused after %s, want %s, before the caller gives up", took, api.ReadyTimeout)
				}
			})
		})
	}
}

// late is a body that does not come before its deadline.
type late struct{}

func (late) Read([]byte) (int, error) { return 0, os.ErrDeadlineExceeded }

func TestBodyDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := readyServer(fakePods{})
		got := call(s, "GET", "/status", strings.NewReader("[]"))
		if n := len(got.deadlines); n < 2 || time.Until(got.deadlines[0]) != api.BodyTimeout || !got.deadlines[n-1].IsZero() {
			t.Errorf("deadlines %v, want one for the body that is taken back", got.deadlines)
		}
		wantAnswer(t, call(s, "POST", "/create", late{}), 400, "read the body")
		wantAnswer(t, call(s, "POST", "/create", io.MultiReader(strings.NewReader(createBody[:20]), late{})), 400, "read the body")
	})
}

func FuzzRoutes(f *testing.F) {
	for _, body := range []string{createBody, "[" + createBody + "]", "[]", "null", "", `[{"metadata":{"uid":"x"}}]`,
		`{"metadata":{"uid":"` + uid + `"}}`, `{"PodUID":"../..","Opts":{"Follow":true,"SinceSeconds":9223372036854775807}}`} {
		for _, path := range []string{"/create", "/status", "/delete", "/getLogs"} {
			f.Add(path, []byte(body), "CreatePod#1", true)
		}
	}
	fake := fakePods{
		create: func(_ context.Context, pod *v1.Pod, _ volumes.Data) (string, error) {
			if pod.UID == "" {
				return "", errdefs.ErrInvalidArgument
			}
			return "jid", nil
		},
		delete: func(context.Context, types.UID, *int64) error { return nil },
		status: func(pod *v1.Pod) (podstatus.Report, bool) { return podstatus.Report{}, pod.UID != "" },
		logs:   func(podlogs.Query) (*podlogs.Source, error) { return nil, errdefs.ErrNotFound },
	}
	f.Fuzz(func(t *testing.T, path string, body []byte, session string, ready bool) {
		s := newServer()
		ctx := t.Context()
		if ready {
			s.Ready(fake)
		} else {
			canceled, cancel := context.WithCancel(ctx)
			cancel()
			ctx = canceled
		}
		request := httptest.NewRequestWithContext(ctx, "POST", "/", bytes.NewReader(body))
		request.URL.Path = path
		request.Header["Interlink-Http-Session"] = []string{session}
		got := answer(s, request)
		if got.Code >= 500 && got.Code != 503 || got.Code == 503 && ready && path != "/readyz" {
			t.Errorf("%s of %q is answered %d %q", path, body, got.Code, got.Body)
		}
		if got.Code != 200 && got.Body.Len() > api.MaxErrorText+16 {
			t.Errorf("error text of %d bytes", got.Body.Len())
		}
		if kind := got.Header().Get("Content-Type"); kind == "application/json" && !json.Valid(got.Body.Bytes()) {
			t.Errorf("answer %q is not JSON", got.Body)
		}
	})
}
