package api_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/log"
	"go.uber.org/goleak"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/api"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/interlink"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podlogs"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes"
)

func TestMain(m *testing.M) {
	if err := log.SetLevel("panic"); err != nil {
		os.Exit(1)
	}
	goleak.VerifyTestMain(m)
}

const uid = "11111111-2222-4333-8444-555555555555"

// fakePods answers as its functions say; what is nil is not expected.
type fakePods struct {
	create func(ctx context.Context, pod *v1.Pod, data volumes.Data) (string, error)
	delete func(ctx context.Context, uid types.UID, grace *int64) error
	status func(pod *v1.Pod) (podstatus.Report, bool)
	logs   func(query podlogs.Query) (*podlogs.Source, error)
	count  func()
}

var errUnexpected = errors.New("this call is not expected")

func (f fakePods) Create(ctx context.Context, pod *v1.Pod, data volumes.Data) (string, error) {
	if f.create == nil {
		return "", errUnexpected
	}
	return f.create(ctx, pod, data)
}

func (f fakePods) Delete(ctx context.Context, uid types.UID, grace *int64) error {
	if f.delete == nil {
		return errUnexpected
	}
	return f.delete(ctx, uid, grace)
}

func (f fakePods) Status(pod *v1.Pod) (podstatus.Report, bool) {
	if f.status == nil {
		return podstatus.Report{}, false
	}
	return f.status(pod)
}

func (f fakePods) FindLogs(query podlogs.Query) (*podlogs.Source, error) {
	if f.logs == nil {
		return nil, errUnexpected
	}
	return f.logs(query)
}

func (f fakePods) Count() int {
	if f.count != nil {
		f.count()
	}
	return 0
}

// maxBody of the servers under test, in bytes.
const maxBody = 64 << 10

func newServer() *api.Server {
	return api.New(api.Config{MaxBody: maxBody, MaxFollowers: 2,
		Ping:     func() interlink.Ping { return interlink.Ping{Status: "ok"} },
		Troubles: func() []string { return nil }})
}

func readyServer(p api.Pods) *api.Server {
	s := newServer()
	s.Ready(p)
	return s
}

// response is a recorder that also takes the deadlines a connection would.
type response struct {
	*httptest.ResponseRecorder
	deadlines []time.Time
}

func (r *response) SetReadDeadline(at time.Time) error {
	r.deadlines = append(r.deadlines, at)
	return nil
}

// call sends one request straight to the routes.
func call(s *api.Server, method, path string, body io.Reader, headers ...string) *response {
	request := httptest.NewRequest(method, path, body)
	for i := 0; i+1 < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	return answer(s, request)
}

func answer(s *api.Server, request *http.Request) *response {
	w := &response{ResponseRecorder: httptest.NewRecorder()}
	s.Handler().ServeHTTP(w, request)
	return w
}

func wantAnswer(t *testing.T, got *response, code int, text string) {
	t.Helper()
	if got.Code != code || !strings.Contains(got.Body.String(), text) {
		t.Errorf("answer %d %q, want %d with %q", got.Code, got.Body.String(), code, text)
	}
}

// classed is an error as the other packages make them.
func classed(class error) error { return fmt.Errorf("what was tried: %w", class) }
