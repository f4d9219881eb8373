package probes_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func execHook(argv ...string) *v1.LifecycleHandler {
	return &v1.LifecycleHandler{Exec: &v1.ExecAction{Command: argv}}
}

func TestHookExec(t *testing.T) {
	engine := errors.New("engine is gone")
	tests := []struct {
		name string
		code int
		err  error
		want string
	}{
		{"exit 0", 0, nil, ""},
		{"exit 2", 2, nil, "exited with code 2: some output"},
		{"the engine fails", 0, engine, "run the command of the hook: engine is gone"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tgt := target("", func(_ context.Context, _ []string, out io.Writer) (int, error) {
				fmt.Fprint(out, "some output")
				return tt.code, tt.err
			})
			err := tgt.Hook(t.Context(), execHook("do"))
			if (tt.want == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
			if tt.err != nil && !errors.Is(err, tt.err) {
				t.Errorf("error %v does not wrap %v", err, tt.err)
			}
		})
	}
}

func TestHookExecDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		tgt := target("", func(ctx context.Context, _ []string, out io.Writer) (int, error) {
			fmt.Fprint(out, "draining")
			<-ctx.Done()
			return 0, errors.New("connection closed")
		})
		err := tgt.Hook(ctx, execHook("do"))
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "draining") {
			t.Errorf("got %v, want a deadline and the output", err)
		}
	})
}

func TestHookHTTP(t *testing.T) {
	var agent, credentials string
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		agent, credentials = r.UserAgent(), r.Header.Get("Authorization")
		if r.URL.Path == "/500" {
			w.WriteHeader(http.StatusInternalServerError)
		}
	})
	plain, secure := httptest.NewServer(handler), httptest.NewTLSServer(handler)
	t.Cleanup(plain.Close)
	t.Cleanup(secure.Close)
	closed := httptest.NewServer(handler)
	closed.Close()

	tests := []struct {
		name        string
		server      *httptest.Server
		scheme      v1.URIScheme
		path        string
		credentials string
		want        string
	}{
		{"plain", plain, v1.URISchemeHTTP, "/", "Bearer x", ""},
		{"any status is a success", plain, "", "/500", "Bearer x", ""},
		{"secure", secure, v1.URISchemeHTTPS, "/", "Bearer x", ""},
		{"plain answer to a secure request", plain, v1.URISchemeHTTPS, "/", "", ""},
		{"closed port", closed, v1.URISchemeHTTP, "/", "", "connection refused"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			agent, credentials = "", ""
			h := &v1.LifecycleHandler{HTTPGet: &v1.HTTPGetAction{
				Path: tt.path, Scheme: tt.scheme, Port: intstr.FromInt(portOf(t, tt.server.URL)),
				HTTPHeaders: []v1.HTTPHeader{{Name: "Authorization", Value: "Bearer x"}},
			}}
			err := target("127.0.0.1", nil).Hook(t.Context(), h)
			if tt.want != "" {
				if err == nil || !strings.Contains(err.Error(), tt.want) {
					t.Errorf("got %v, want %q", err, tt.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if agent != "kube-lifecycle/1.37" || credentials != tt.credentials {
				t.Errorf("agent %q, credentials %q, want credentials %q", agent, credentials, tt.credentials)
			}
		})
	}
}

func TestHookHTTPDeadline(t *testing.T) {
	_, port := listen(t, "127.0.0.1:0")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	h := &v1.LifecycleHandler{HTTPGet: &v1.HTTPGetAction{Port: intstr.FromInt(port)}}
	if err := target("127.0.0.1", nil).Hook(ctx, h); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want a deadline", err)
	}
}

func TestHookSleep(t *testing.T) {
	tests := []struct {
		name           string
		seconds        int64
		deadline, want time.Duration
		err            error
	}{
		{"whole", 5, time.Minute, 5 * time.Second, nil},
		{"zero", 0, time.Minute, 0, nil},
		{"cut short", 3600, 10 * time.Second, 10 * time.Second, context.DeadlineExceeded},
		{"beyond all time", 1 << 62, 10 * time.Second, 10 * time.Second, context.DeadlineExceeded},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), tt.deadline)
				defer cancel()
				begin := time.Now()
				err := target("", nil).Hook(ctx, &v1.LifecycleHandler{Sleep: &v1.SleepAction{Seconds: tt.seconds}})
				if !errors.Is(err, tt.err) {
					t.Errorf("got %v, want %v", err, tt.err)
				}
				if took := time.Since(begin); took != tt.want {
					t.Errorf("took %s, want %s", took, tt.want)
				}
			})
		})
	}
}

func TestHookInvalid(t *testing.T) {
	tests := []struct {
		name string
		hook *v1.LifecycleHandler
	}{
		{"tcpSocket", &v1.LifecycleHandler{TCPSocket: &v1.TCPSocketAction{Port: intstr.FromInt32(80)}}},
		{"no handler", &v1.LifecycleHandler{}},
		{"unknown port", &v1.LifecycleHandler{HTTPGet: &v1.HTTPGetAction{Port: intstr.FromString("web")}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := target("127.0.0.1", nil).Hook(t.Context(), tt.hook); !errdefs.IsInvalidArgument(err) {
				t.Errorf("got %v, want an invalid argument", err)
			}
		})
	}
}
