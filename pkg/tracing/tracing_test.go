package tracing_test

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"go.opentelemetry.io/otel/trace"
	spans "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/goleak"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/tracing"
	"github.com/intertwin-eu/interlink-docker-plugin/tests/collector"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const uid = "0b5e6f7a-1c2d-4e3f-8a9b-0c1d2e3f4a5b"

func newTracer(t *testing.T, c tracing.Collector) *tracing.Tracer {
	t.Helper()
	tracer, err := tracing.New(t.Context(), tracing.Config{Enabled: true, ID: "one", Version: "v1", Collector: c})
	if err != nil {
		t.Fatal(err)
	}
	return tracer
}

// flush closes a tracer, which sends all that it has.
func flush(t *testing.T, tracer *tracing.Tracer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := tracer.Close(ctx); err != nil {
		t.Error(err)
	}
}

// spanOf is the last one of that name.
func spanOf(t *testing.T, c *collector.Collector, name string) *spans.Span {
	t.Helper()
	span := c.Span(name)
	if span == nil {
		t.Fatalf("no span %q came, but %v", name, c.Spans())
	}
	return span
}

func number(t *testing.T, span *spans.Span, key string) int64 {
	t.Helper()
	n, there := collector.Number(span.Attributes, key)
	if !there {
		t.Fatalf("span %s has no number %s: %v", span.Name, key, span.Attributes)
	}
	return n
}

func text(span *spans.Span, key string) string { return collector.Text(span.Attributes, key) }

// A call has what dashboards for interLink's plugins look for (protocol 7.3).
func TestCall(t *testing.T) {
	c := collector.Start(t)
	tracer := newTracer(t, tracing.Collector{Endpoint: c.Address})
	before := time.Now().UnixMicro()
	_, done := tracer.Call(t.Context(), "Create", "CreatePod#7")
	done(200)
	_, done = tracer.Call(t.Context(), "Delete", "")
	done(500)
	flush(t, tracer)
	span := spanOf(t, c, "Create")
	start, end, duration := number(t, span, "start.timestamp"), number(t, span, "end.timestamp"), number(t, span, "duration")
	if start < before || end < start || duration != end-start || end > time.Now().UnixMicro() {
		t.Errorf("start %d, end %d, duration %d after %d: want microseconds of now", start, end, duration, before)
	}
	if code := number(t, span, "exit.code"); code != 200 || text(span, "interlink.session") != "CreatePod#7" {
		t.Errorf("exit code %d, session %q", code, text(span, "interlink.session"))
	}
	if span.Status.GetCode() == spans.Status_STATUS_CODE_ERROR {
		t.Error("a call that was answered is an error")
	}
	if failed := spanOf(t, c, "Delete"); failed.Status.GetCode() != spans.Status_STATUS_CODE_ERROR || number(t, failed, "exit.code") != 500 {
		t.Errorf("a call that failed has the status %v", failed.Status)
	}
	if !slices.Contains(c.Services(), "Plugin-one") {
		t.Errorf("services %q, want Plugin-one", c.Services())
	}
}

// The life of a pod is one trace, over a restart of docker-sd too, and its calls
// and it name each other.
func TestLifeOfAPod(t *testing.T) {
	c := collector.Start(t)
	tracer := newTracer(t, tracing.Collector{Endpoint: c.Address})
	call, answered := tracer.Call(t.Context(), "Create", "")
	tracer.About(call, uid)
	life := tracer.Pod(t.Context(), call, uid, "physics", "fit")
	start, started := tracer.Root(life, "pod")
	claim, claimed := tracer.Step(start, "claim")
	_, booted := tracer.Step(claim, "boot", "sandbox", "s1")
	booted(fmt.Errorf("exec: MARK-argv0: %w", errdefs.ErrNotFound))
	claimed(nil)
	_, pulled := tracer.Step(start, "pull")
	pulled(context.Canceled)
	_, copied := tracer.Step(start, "copy")
	copied(errors.New("GET https://registry/?token=MARK"))
	started(nil)
	answered(200)
	_, stray := tracer.Step(t.Context(), "boot for the pool")
	stray(nil)
	flush(t, tracer)

	again := newTracer(t, tracing.Collector{Endpoint: c.Address})
	_, deleted := again.Step(again.Pod(t.Context(), t.Context(), uid, "physics", "fit"), "delete")
	deleted(nil)
	flush(t, again)

	root := spanOf(t, c, "pod")
	if len(root.ParentSpanId) > 0 || text(root, "k8s.pod.name") != "fit" || text(root, "k8s.namespace.name") != "physics" || text(root, "k8s.pod.uid") != uid {
		t.Errorf("the first span is %v", root)
	}
	parents := map[string]*spans.Span{"claim": root, "boot": spanOf(t, c, "claim"), "pull": root, "delete": root}
	for name, parent := range parents {
		span := spanOf(t, c, name)
		if hex.EncodeToString(span.TraceId) != strings.ReplaceAll(uid, "-", "") || string(span.ParentSpanId) != string(parent.SpanId) {
			t.Errorf("span %s is in trace %x below %x, want that of the pod's uid below %s", name, span.TraceId, span.ParentSpanId, parent.Name)
		}
	}
	if boot := spanOf(t, c, "boot"); boot.Status.GetMessage() != "not found" || text(boot, "sandbox") != "s1" {
		t.Errorf("a boot that failed is %v", boot)
	}
	if pull := spanOf(t, c, "pull"); pull.Status.GetCode() == spans.Status_STATUS_CODE_ERROR {
		t.Error("a pull that nobody waits for any more is an error")
	}
	if copied := spanOf(t, c, "copy"); copied.Status.GetMessage() != "failed" || copied.Status.GetCode() != spans.Status_STATUS_CODE_ERROR {
		t.Errorf("a copy that failed is %v", copied)
	}
	create := spanOf(t, c, "Create")
	if len(root.Links) != 1 || string(root.Links[0].SpanId) != string(create.SpanId) {
		t.Errorf("the pod links %v, want its create", root.Links)
	}
	if len(create.Links) != 1 || string(create.Links[0].TraceId) != string(root.TraceId) || string(create.TraceId) == string(root.TraceId) {
		t.Errorf("the create links %v, want the pod's trace", create.Links)
	}
	if c.Span("boot for the pool") != nil {
		t.Error("a step that is of no pod and no call has a span")
	}
}

// Libraries add no spans to ours: that of the engine has one for every request.
func TestLibrariesAddNothing(t *testing.T) {
	c := collector.Start(t)
	tracer := newTracer(t, tracing.Collector{Endpoint: c.Address})
	foreign := func(ctx context.Context) {
		_, span := trace.SpanFromContext(ctx).TracerProvider().Tracer("library").Start(ctx, "HEAD /_ping")
		span.End()
	}
	call, answered := tracer.Call(t.Context(), "Create", "")
	foreign(call)
	life := tracer.Pod(t.Context(), call, uid, "physics", "fit")
	foreign(life)
	start, started := tracer.Root(life, "pod")
	foreign(start)
	claim, claimed := tracer.Step(start, "claim")
	foreign(claim)
	claimed(nil)
	started(nil)
	answered(200)
	flush(t, tracer)
	if c.Span("HEAD /_ping") != nil || len(c.Spans()) != 3 {
		t.Errorf("the spans are %v, want Create, pod and claim", c.Spans())
	}
}

// Any uid names a trace.
func TestUIDThatIsNone(t *testing.T) {
	c := collector.Start(t)
	tracer := newTracer(t, tracing.Collector{Endpoint: c.Address})
	for _, uid := range []string{"", "static-pod", "00000000-0000-0000-0000-000000000000"} {
		_, done := tracer.Root(tracer.Pod(t.Context(), t.Context(), uid, "n", "p"), "pod "+uid)
		done(nil)
	}
	flush(t, tracer)
	if len(c.Spans()) != 3 {
		t.Errorf("%d spans came, want 3", len(c.Spans()))
	}
}

func TestTransportSecurity(t *testing.T) {
	ours, other := newAuthority(t), newAuthority(t)
	cert, key := ours.sign(t, "client")
	foreignCert, foreignKey := other.sign(t, "client")
	for name, c := range map[string]struct {
		mutual  bool
		want    bool
		collect tracing.Collector
	}{
		"mutual TLS":         {true, true, tracing.Collector{CA: ours.file, Cert: cert, Key: key}},
		"a stranger's CA":    {false, false, tracing.Collector{CA: other.file, Cert: cert, Key: key}},
		"not verified":       {true, true, tracing.Collector{CA: other.file, Cert: cert, Key: key, InsecureSkipVerify: true}},
		"a foreign client":   {true, false, tracing.Collector{CA: ours.file, Cert: foreignCert, Key: foreignKey}},
		"plain text":         {false, false, tracing.Collector{}},
		"the system's CAs":   {false, false, tracing.Collector{Endpoint: "https://"}},
		"https not verified": {false, true, tracing.Collector{Endpoint: "https://", InsecureSkipVerify: true}},
	} {
		t.Run(name, func(t *testing.T) {
			taker := collector.Start(t, ours.server(t, c.mutual))
			c.collect.Endpoint += taker.Address
			tracer := newTracer(t, c.collect)
			_, done := tracer.Call(t.Context(), "Status", "")
			done(200)
			limit := time.Second
			if c.want {
				limit = 10 * time.Second
			}
			ctx, cancel := context.WithTimeout(context.Background(), limit)
			defer cancel()
			_ = tracer.Close(ctx) // one that is refused is given up
			if got := len(taker.Spans()) == 1; got != c.want {
				t.Errorf("a span came: %v, want %v", got, c.want)
			}
		})
	}
}

// A collector that takes connections and never answers costs nobody any time.
func TestCollectorAway(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	tracer := newTracer(t, tracing.Collector{Endpoint: listener.Addr().String()})
	began := time.Now()
	for range 20000 {
		_, done := tracer.Call(t.Context(), "Status", "")
		done(200)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("20000 calls took %s", took)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	began = time.Now()
	if err := tracer.Close(ctx); err == nil || time.Since(began) > 5*time.Second {
		t.Errorf("Close() = %v after %s, want it to give up when its context ends", err, time.Since(began))
	}
}

func TestSwitchedOff(t *testing.T) {
	tracer, err := tracing.New(t.Context(), tracing.Config{Collector: tracing.Collector{Endpoint: "nonsense", CA: "/none"}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, done := tracer.Call(t.Context(), "Create", "")
	tracer.About(ctx, uid)
	done(200)
	life := tracer.Pod(t.Context(), ctx, uid, "n", "p")
	if life != t.Context() {
		t.Error("a pod's context is another where nothing is traced")
	}
	_, done2 := tracer.Root(life, "pod")
	done2(nil)
	_, done2 = tracer.Step(life, "claim")
	done2(nil)
	if err := tracer.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// What is wrong is said with the name of the variable.
func TestConfigErrors(t *testing.T) {
	a := newAuthority(t)
	cert, _ := a.sign(t, "client")
	_, otherKey := a.sign(t, "other")
	empty := filepath.Join(t.TempDir(), "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		collector tracing.Collector
		want      string
	}{
		"no port":       {tracing.Collector{Endpoint: "localhost"}, "TELEMETRY_ENDPOINT"},
		"no CA file":    {tracing.Collector{Endpoint: "a:1", CA: "/none"}, "TELEMETRY_CA_CRT_FILEPATH"},
		"empty CA file": {tracing.Collector{Endpoint: "a:1", CA: empty}, "holds no certificate"},
		"no client":     {tracing.Collector{Endpoint: "a:1", CA: a.file, Cert: "/none", Key: "/none"}, "TELEMETRY_CLIENT_CRT_FILEPATH"},
		"another's key": {tracing.Collector{Endpoint: "a:1", CA: a.file, Cert: cert, Key: otherKey}, "TELEMETRY_CLIENT_KEY_FILEPATH"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := tracing.New(t.Context(), tracing.Config{Enabled: true, Collector: c.collector})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("New() = %v, want an error with %s", err, c.want)
			}
		})
	}
}
