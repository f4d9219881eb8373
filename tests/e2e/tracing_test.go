//go:build e2e

package e2e_test

import (
	"encoding/hex"
	"slices"
	"strings"
	"testing"
	"time"

	spans "go.opentelemetry.io/proto/otlp/trace/v1"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/tests/collector"
)

// TestTracing: an OTLP collector gets the spans of interLink's plugins for every
// call, with their attributes (protocol 7.3), and one trace for each pod.
func TestTracing(t *testing.T) {
	t.Parallel()
	taker := collector.Start(t)
	// A key of the file, and variables as interLink sets them.
	d := prepareDaemon(t, map[string]any{"AVAILABLEDINDS": 1, "TELEMETRY_UNIQUE_ID": "e2e"})
	d.Env = []string{"ENABLE_TRACING=1", "TELEMETRY_ENDPOINT=" + taker.Address}
	before := time.Now()
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	d.waitWarm(t, 1)
	long := withVolume(newPod(shell("c", "echo traced; "+untilStopped)), emptyDir(), "/vol")
	long.Spec.InitContainers = []v1.Container{shell("init", "true")}
	first := d.run(t, long)
	first.waitRunning()
	first.waitLog("c", "traced\n")
	second := d.run(t, newPod(shell("c", "true")))
	second.waitPhase(v1.PodSucceeded)
	for _, p := range []*podRun{first, second} {
		p.delete(0)
		p.waitGone()
	}
	third := d.run(t, newPod(shell("c", "trap '' TERM; while :; do usleep 50000; done")))
	third.waitRunning()
	third.delete(int64(runLimit.Seconds()))
	// An end sends what waits, and what its own end finished.
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	after := time.Now()
	for _, service := range taker.Services() {
		if service != "Plugin-e2e" {
			t.Errorf("spans came from %q, want Plugin-e2e", service)
		}
	}
	for _, name := range []string{"Create", "Status", "GetLogs", "Delete"} {
		checkCall(t, taker, name, before, after)
	}
	checkLife(t, taker, first.pod, "pod", "claim", "images", "volumes", "init containers", "create container", "start container", "delete")
	checkLife(t, taker, second.pod, "pod", "claim", "images", "create container", "start container", "delete")
	checkLife(t, taker, third.pod, "pod", "claim", "images", "create container", "start container", "delete")
	traces := []string{traceOf(first.pod), traceOf(second.pod), traceOf(third.pod)}
	calls := []string{"Create", "Status", "GetLogs", "Delete"}
	for _, span := range taker.Spans() {
		if ours := slices.Contains(traces, hex.EncodeToString(span.TraceId)); ours == slices.Contains(calls, span.Name) {
			t.Errorf("span %s is in the trace %x; those of pods are %q", span.Name, span.TraceId, traces)
		}
	}
}

// traceOf is the id of a pod's trace.
func traceOf(pod *v1.Pod) string { return strings.ReplaceAll(string(pod.UID), "-", "") }

// checkCall looks at each span of one kind of call.
func checkCall(t *testing.T, taker *collector.Collector, name string, before, after time.Time) {
	t.Helper()
	seen := 0
	for _, span := range taker.Spans() {
		if span.Name != name {
			continue
		}
		seen++
		number := func(key string) int64 {
			n, there := collector.Number(span.Attributes, key)
			if !there {
				t.Errorf("%s has no number %s: %v", name, key, span.Attributes)
			}
			return n
		}
		began, ended := number("start.timestamp"), number("end.timestamp")
		if began < before.UnixMicro() || ended < began || ended > after.UnixMicro() || number("duration") != ended-began {
			t.Errorf("%s lasts %d us from %d to %d, in a test from %d to %d", name, number("duration"), began, ended, before.UnixMicro(), after.UnixMicro())
		}
		if code, session := number("exit.code"), collector.Text(span.Attributes, "interlink.session"); code != 200 || session != "E2E#1" {
			t.Errorf("%s has the exit code %d and the session %q", name, code, session)
		}
		if span.Kind != spans.Span_SPAN_KIND_SERVER || len(span.ParentSpanId) > 0 {
			t.Errorf("%s is a span of kind %s below %x", name, span.Kind, span.ParentSpanId)
		}
		// A status is about many pods.
		uid := collector.Text(span.Attributes, "k8s.pod.uid")
		if name == "Status" {
			continue
		}
		if len(span.Links) != 1 || hex.EncodeToString(span.Links[0].TraceId) != strings.ReplaceAll(uid, "-", "") {
			t.Errorf("%s is about pod %q and links %v", name, uid, span.Links)
		}
	}
	if seen == 0 {
		t.Errorf("no span %s came", name)
	}
}

// checkLife looks at the trace of one pod, which has the spans that are named at
// least.
func checkLife(t *testing.T, taker *collector.Collector, pod *v1.Pod, names ...string) {
	t.Helper()
	trace := map[string]*spans.Span{}
	var root *spans.Span
	var got []string
	for _, span := range taker.Spans() {
		if hex.EncodeToString(span.TraceId) != traceOf(pod) {
			continue
		}
		trace[string(span.SpanId)] = span
		got = append(got, span.Name)
		if span.Name == "pod" {
			root = span
		}
	}
	for _, name := range names {
		if !slices.Contains(got, name) {
			t.Errorf("pod %s has the spans %q and no %q", pod.Name, got, name)
		}
	}
	if root == nil {
		return
	}
	if len(root.ParentSpanId) > 0 || root.EndTimeUnixNano <= root.StartTimeUnixNano || len(root.Links) != 1 {
		t.Errorf("the first span of pod %s is %v", pod.Name, root)
	}
	for key, want := range map[string]string{"k8s.pod.uid": string(pod.UID), "k8s.namespace.name": pod.Namespace, "k8s.pod.name": pod.Name} {
		if got := collector.Text(root.Attributes, key); got != want {
			t.Errorf("the first span of pod %s has the %s %q", pod.Name, key, got)
		}
	}
	known := []string{"pod", "images", "pull", "copy image", "claim", "boot", "volumes", "init containers", "create container", "start container", "delete"}
	for _, span := range trace {
		if !slices.Contains(known, span.Name) {
			t.Errorf("span %s of pod %s is not among those of docs/observability.md", span.Name, pod.Name)
		}
		if span != root && trace[string(span.ParentSpanId)] == nil {
			t.Errorf("span %s of pod %s is below %x, which is not in its trace", span.Name, pod.Name, span.ParentSpanId)
		}
		if span.Status.GetCode() == spans.Status_STATUS_CODE_ERROR {
			t.Errorf("span %s of pod %s has failed: %s", span.Name, pod.Name, span.Status.GetMessage())
		}
	}
}
