package probes_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/probes"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type execFunc = func(ctx context.Context, argv []string, out io.Writer) (int, error)

func target(podIP string, exec execFunc, ports ...v1.ContainerPort) probes.Target {
	return probes.Target{
		PodIP:     func() string { return podIP },
		Container: &v1.Container{Name: "c", Ports: ports},
		Exec:      exec,
	}
}

func execProbe(argv ...string) *v1.Probe {
	return &v1.Probe{ProbeHandler: v1.ProbeHandler{Exec: &v1.ExecAction{Command: argv}}}
}

// wantResult compares the outcome, and looks for a part of the message.
func wantResult(t *testing.T, got probes.Result, outcome probes.Outcome, part string) {
	t.Helper()
	if got.Outcome != outcome {
		t.Errorf("outcome: got %v (%q), want %v", got.Outcome, got.Message, outcome)
	}
	if !strings.Contains(got.Message, part) {
		t.Errorf("message: got %q, want it to contain %q", got.Message, part)
	}
	if part == "" && got.Message != "" {
		t.Errorf("message: got %q, want none", got.Message)
	}
}

func TestProbeExec(t *testing.T) {
	tests := []struct {
		name    string
		exec    execFunc
		outcome probes.Outcome
		message string
	}{
		{"exit 0", func(_ context.Context, _ []string, out io.Writer) (int, error) {
			fmt.Fprint(out, "fine")
			return 0, nil
		}, probes.Success, ""},
		{"exit 3", func(_ context.Context, _ []string, out io.Writer) (int, error) {
			fmt.Fprint(out, "no database")
			return 3, nil
		}, probes.Failure, "the command exited with code 3: no database"},
		{"the engine fails", func(context.Context, []string, io.Writer) (int, error) {
			return 0, errors.New("engine is gone")
		}, probes.Unknown, "could not be run: engine is gone"},
		{"a deadline inside the engine", func(context.Context, []string, io.Writer) (int, error) {
			return 0, context.DeadlineExceeded
		}, probes.Unknown, "could not be run"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := target("", tt.exec).Probe(t.Context(), execProbe("check"))
			wantResult(t, got, tt.outcome, tt.message)
		})
	}
}

func TestProbeExecPassesArguments(t *testing.T) {
	want := []string{"sh", "-c", "echo $HOME `id` \"x\"", ""}
	var got []string
	tgt := target("", func(_ context.Context, argv []string, _ io.Writer) (int, error) {
		got = argv
		return 0, nil
	})
	wantResult(t, tgt.Probe(t.Context(), execProbe(want...)), probes.Success, "")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("arguments (-want +got):\n%s", diff)
	}
}

func TestProbeTimeout(t *testing.T) {
	hang := func(ctx context.Context, _ []string, out io.Writer) (int, error) {
		fmt.Fprint(out, "waiting")
		<-ctx.Done()
		return 0, ctx.Err()
	}
	for _, tt := range []struct {
		name    string
		seconds int32
		want    time.Duration
	}{{"default", 0, time.Second}, {"given", 7, 7 * time.Second}} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := execProbe("check")
				p.TimeoutSeconds = tt.seconds
				begin := time.Now()
				got := target("", hang).Probe(t.Context(), p)
				if took := time.Since(begin); took != tt.want {
					t.Errorf("took %s, want %s", took, tt.want)
				}
				wantResult(t, got, probes.Failure,
					fmt.Sprintf("timed out after %s: the command did not end: waiting", tt.want))
			})
		})
	}
}

func TestProbeStoppedIsUnknown(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	tgt := target("", func(ctx context.Context, _ []string, _ io.Writer) (int, error) {
		cancel()
		<-ctx.Done()
		return 137, nil
	})
	wantResult(t, tgt.Probe(ctx, execProbe("check")), probes.Unknown, "stopped before the probe ended")
}

func TestProbeMessageIsBounded(t *testing.T) {
	const limit = 10 << 10
	flood := func(_ context.Context, _ []string, out io.Writer) (int, error) {
		for range 1000 {
			if n, err := out.Write([]byte(strings.Repeat("\u00e9", 100))); n != 200 || err != nil {
				return 0, fmt.Errorf("wrote %d bytes: %w", n, err)
			}
		}
		return 1, nil
	}
	got := target("", flood).Probe(t.Context(), execProbe("check"))
	wantResult(t, got, probes.Failure, "exited with code 1: \u00e9")
	if len(got.Message) > limit || len(got.Message) < limit-4 {
		t.Errorf("message has %d bytes, want about %d", len(got.Message), limit)
	}
	if !utf8.ValidString(got.Message) {
		t.Error("message is not valid UTF-8")
	}
}

func TestProbeWithoutHandler(t *testing.T) {
	wantResult(t, target("", nil).Probe(t.Context(), &v1.Probe{}), probes.Unknown, "has no handler")
}

func listen(t *testing.T, address string) (net.Listener, int) {
	t.Helper()
	l, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l, l.Addr().(*net.TCPAddr).Port
}

func tcpProbe(host string, port intstr.IntOrString) *v1.Probe {
	return &v1.Probe{ProbeHandler: v1.ProbeHandler{TCPSocket: &v1.TCPSocketAction{Host: host, Port: port}}}
}

func TestProbeTCP(t *testing.T) {
	_, open := listen(t, "127.0.0.2:0")
	l, closed := listen(t, "127.0.0.2:0")
	l.Close()
	named := v1.ContainerPort{Name: "db", ContainerPort: int32(open)}

	tests := []struct {
		name    string
		podIP   string
		host    string
		port    intstr.IntOrString
		outcome probes.Outcome
		message string
	}{
		{"open", "127.0.0.2", "", intstr.FromInt(open), probes.Success, ""},
		{"named port", "127.0.0.2", "", intstr.FromString("db"), probes.Success, ""},
		{"number as string", "127.0.0.2", "", intstr.FromString(fmt.Sprint(open)), probes.Success, ""},
		{"localhost is the pod", "127.0.0.2", "localhost", intstr.FromInt(open), probes.Success, ""},
		{"127.0.0.1 is the pod", "127.0.0.2", "127.0.0.1", intstr.FromInt(open), probes.Success, ""},
		{"0.0.0.0 is the pod", "127.0.0.2", "0.0.0.0", intstr.FromInt(open), probes.Success, ""},
		{"mapped loopback is the pod", "127.0.0.2", "::ffff:127.0.0.1", intstr.FromInt(open), probes.Success, ""},
		{"closed", "127.0.0.2", "", intstr.FromInt(closed), probes.Failure, "connection refused"},
		{"unknown name", "127.0.0.2", "", intstr.FromString("web"), probes.Unknown, `port web is neither`},
		{"no address yet", "", "", intstr.FromInt(open), probes.Unknown, "has no address yet"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := target(tt.podIP, nil, named).Probe(t.Context(), tcpProbe(tt.host, tt.port))
			wantResult(t, got, tt.outcome, tt.message)
		})
	}
}

func TestOutcomeString(t *testing.T) {
	want := []string{"unknown", "success", "failure"}
	got := []string{probes.Unknown.String(), probes.Success.String(), probes.Failure.String()}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}
