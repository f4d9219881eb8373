package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/admin"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/api"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/images"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/metrics"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pods"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/tracing"
)

// teller spreads what the parts of docker-sd tell: to metrics, to traces, and to
// the list of events.
type teller struct {
	metrics *metrics.Metrics
	tracer  *tracing.Tracer
	ring    *admin.Ring
	journal *admin.Journal
}

var (
	_ api.Observer    = &teller{}
	_ pods.Observer   = &teller{}
	_ pool.Observer   = &teller{}
	_ images.Observer = &teller{}
)

// podKey is that of the pod that a context is of.
type podKey struct{}

// callNames are the spans of calls, as interLink's plugins name them (protocol 7.3).
var callNames = map[string]string{"/create": "Create", "/delete": "Delete", "/status": "Status", "/getLogs": "GetLogs",
	"/pinglink": "Ping", "/updateCache": "UpdateCache"}

// Begin is told of a call.
func (t *teller) Begin(r *http.Request, route string) (context.Context, func(code int)) {
	began := time.Now()
	ctx, done := t.tracer.Call(r.Context(), callNames[route], r.Header.Get("InterLink-Http-Session"))
	return ctx, func(code int) {
		t.metrics.Request(route, code, time.Since(began))
		done(code)
	}
}

// About is told which pod a call is about.
func (t *teller) About(ctx context.Context, podUID string) { t.tracer.About(ctx, podUID) }

// Pod marks a context as a pod's.
func (t *teller) Pod(life, caller context.Context, spec *v1.Pod) context.Context {
	return context.WithValue(t.tracer.Pod(life, caller, string(spec.UID), spec.Namespace, spec.Name), podKey{}, spec)
}

// Step is told of what takes time.
func (t *teller) Step(ctx context.Context, step string, of ...string) (context.Context, func(error)) {
	began := time.Now()
	done := func(error) {}
	if step == pods.StepStart {
		ctx, done = t.tracer.Root(ctx, "pod")
	} else {
		ctx, done = t.tracer.Step(ctx, step, of...)
	}
	if step == images.StepPull || step == images.StepCopy || step == images.StepMirror {
		t.add(ctx, admin.Event{What: step, Detail: details(of)})
	}
	noted := func(error) {}
	// The step that is the whole start has no place among its parts.
	if spec, ok := ctx.Value(podKey{}).(*v1.Pod); ok && step != pods.StepStart {
		noted = t.journal.Begin(spec.UID, moment(began, step, of))
	}
	return ctx, func(err error) {
		t.metrics.Step(step, time.Since(began), err)
		done(err)
		noted(err)
	}
}

// moment of the beginning of a step.
func moment(at time.Time, step string, of []string) admin.Moment {
	out := admin.Moment{Time: at, What: step}
	if len(of) > 1 && of[0] == "container" {
		out.Container, of = of[1], of[2:]
	}
	out.Detail = details(of)
	return out
}

// Event is told of a change of state of a pod.
func (t *teller) Event(ctx context.Context, e pods.Event) {
	t.metrics.Event(e.What)
	var of []string
	for _, name := range slices.Sorted(maps.Keys(e.Fields)) {
		of = append(of, name, fmt.Sprint(e.Fields[name]))
	}
	spec, known := ctx.Value(podKey{}).(*v1.Pod)
	if known && (e.What == pods.EventCreated || e.What == pods.EventAdopted) {
		t.journal.Open(spec.UID)
	}
	t.add(ctx, admin.Event{What: e.What, Container: e.Container, Detail: details(of)})
	if known && e.What == pods.EventDeleted {
		t.journal.Close(spec.UID)
	}
}

// Sandbox is told of what happens to one that no pod has.
func (t *teller) Sandbox(event, sandbox string) {
	t.metrics.Event("sandbox " + event)
	t.ring.Add(admin.Event{Time: time.Now(), What: "sandbox " + event, Sandbox: sandbox})
}

// Call is told of a request to the engine in a sandbox. One that boots is asked
// until it answers: that nobody did yet is no failure.
func (t *teller) Call(c engine.Call) {
	if c.Operation != "ping" || c.Code != 0 {
		t.metrics.EngineCall("sandbox", c.Operation, c.Code, c.Took)
	}
}

// hostCall is told of a request to the host's engine.
func (t *teller) hostCall(c engine.Call) { t.metrics.EngineCall("host", c.Operation, c.Code, c.Took) }

// Pulled is told of an image that is new on the host.
func (t *teller) Pulled(bytes int64) { t.metrics.Pulled(bytes) }

// add keeps an event of the pod that ctx is of.
func (t *teller) add(ctx context.Context, e admin.Event) {
	e.Time = time.Now()
	if spec, ok := ctx.Value(podKey{}).(*v1.Pod); ok {
		e.PodUID, e.Namespace, e.PodName = spec.UID, spec.Namespace, spec.Name
	}
	t.ring.Add(e)
	t.journal.Add(e)
}

// details writes names and values in a line for people.
func details(of []string) string {
	var out []string
	for i := 0; i+1 < len(of); i += 2 {
		if of[i+1] != "" {
			out = append(out, of[i]+" "+of[i+1])
		}
	}
	return strings.Join(out, ", ")
}
