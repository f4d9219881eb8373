// Package tracing sends OpenTelemetry spans of calls and of the lives of pods to
// a collector, as interLink and its plugins do (docs/interlink-protocol.md 7.3). It is the only
// package that knows OpenTelemetry.
package tracing

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"
	"github.com/google/uuid"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"
)

// Config of a Tracer.
type Config struct {
	// Enabled sends spans (ENABLE_TRACING).
	Enabled bool
	// ID names this plugin in traces, as Plugin-ID (TELEMETRY_UNIQUE_ID); empty
	// means a random one.
	ID string
	// Version of docker-sd.
	Version string
	Collector
}

// Tracer makes spans. What is sent waits in a bounded queue; a collector that is
// away costs spans and nothing else.
type Tracer struct {
	tracer   trace.Tracer
	provider *sdk.TracerProvider
	// giveUp ends what is being sent.
	giveUp context.CancelFunc
}

// New makes a Tracer. It does not wait for the collector. Errors name the
// variable at fault.
func New(ctx context.Context, config Config) (*Tracer, error) {
	if !config.Enabled {
		return &Tracer{tracer: noop.NewTracerProvider().Tracer("")}, nil
	}
	options, err := config.options(ctx)
	if err != nil {
		return nil, err
	}
	exporter, err := otlptracegrpc.New(ctx, options...)
	if err != nil {
		return nil, fmt.Errorf("TELEMETRY_ENDPOINT %q: %w", config.Endpoint, err)
	}
	sending, giveUp := context.WithCancel(context.WithoutCancel(ctx))
	if config.ID == "" {
		config.ID = uuid.NewString()
	}
	provider := sdk.NewTracerProvider(
		sdk.WithBatcher(&quiet{SpanExporter: exporter, endpoint: config.Endpoint, sending: sending}, sdk.WithExportTimeout(exportTimeout), sdk.WithBatchTimeout(batchTimeout)),
		sdk.WithIDGenerator(podIDs{}),
		sdk.WithSampler(sdk.AlwaysSample()),
		sdk.WithResource(resource.NewSchemaless(
			attribute.String("service.name", "Plugin-"+config.ID), attribute.String("service.version", config.Version))),
	)
	log.G(ctx).WithField("endpoint", config.Endpoint).WithField("service", "Plugin-"+config.ID).Info("traces are sent")
	return &Tracer{tracer: provider.Tracer("docker-sd"), provider: provider, giveUp: giveUp}, nil
}

// Close sends what waits, until ctx ends.
func (t *Tracer) Close(ctx context.Context) error {
	if t.provider == nil {
		return nil
	}
	defer t.giveUp()
	return t.provider.Shutdown(ctx)
}

// Call begins the span of a call of the sidecar protocol. It carries the
// attributes that interLink's plugins set (protocol 7.3): times in microseconds,
// and the HTTP status as exit.code.
func (t *Tracer) Call(ctx context.Context, name, session string) (context.Context, func(code int)) {
	began := time.Now()
	ctx, span := t.start(ctx, name, trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(attribute.Int64("start.timestamp", began.UnixMicro())))
	if session != "" {
		span.SetAttributes(attribute.String("interlink.session", session))
	}
	return ctx, func(code int) {
		ended := time.Now()
		span.SetAttributes(attribute.Int64("end.timestamp", ended.UnixMicro()),
			attribute.Int64("duration", ended.UnixMicro()-began.UnixMicro()), attribute.Int("exit.code", code))
		if code >= http.StatusInternalServerError {
			span.SetStatus(codes.Error, http.StatusText(code))
		}
		span.End()
	}
}

// About links the call of ctx to the trace of a pod.
func (t *Tracer) About(ctx context.Context, podUID string) {
	span := trace.SpanFromContext(ctx)
	if span.IsRecording() {
		span.SetAttributes(attribute.String("k8s.pod.uid", podUID))
		span.AddLink(trace.Link{SpanContext: rootOf(podUID)})
	}
}

// Pod makes life the context of a pod: steps under it are spans of the pod's own
// trace. caller is the context of the call that brought the pod.
func (t *Tracer) Pod(life, caller context.Context, uid, namespace, name string) context.Context {
	if t.provider == nil {
		return life
	}
	return context.WithValue(trace.ContextWithRemoteSpanContext(life, rootOf(uid)), podKey{},
		podOf{uid: uid, namespace: namespace, name: name, caller: trace.SpanContextFromContext(caller)})
}

// Root begins the first span of the trace of the pod that ctx is of.
func (t *Tracer) Root(ctx context.Context, name string) (context.Context, func(error)) {
	of, ok := ctx.Value(podKey{}).(podOf)
	if !ok {
		return ctx, func(error) {}
	}
	options := []trace.SpanStartOption{trace.WithNewRoot(), trace.WithAttributes(attribute.String("k8s.pod.uid", of.uid),
		attribute.String("k8s.namespace.name", of.namespace), attribute.String("k8s.pod.name", of.name))}
	if of.caller.IsValid() {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: of.caller}))
	}
	ctx, span := t.start(context.WithValue(ctx, rootKey{}, of.uid), name, options...)
	return context.WithValue(ctx, rootKey{}, nil), ending(span)
}

// Step begins a span below that of ctx; where there is none, as for a sandbox
// that is booted for the pool, it makes none. of are names and values.
func (t *Tracer) Step(ctx context.Context, name string, of ...string) (context.Context, func(error)) {
	if t.provider == nil || !trace.SpanContextFromContext(ctx).IsValid() {
		return ctx, func(error) {}
	}
	var attributes []attribute.KeyValue
	for i := 0; i+1 < len(of); i += 2 {
		attributes = append(attributes, attribute.String(of[i], of[i+1]))
	}
	ctx, span := t.start(ctx, name, trace.WithAttributes(attributes...))
	return ctx, ending(span)
}

// own is a span that libraries which find it in a context add none of their own
// to. The engine's client would, one for every request, under names with ids in
// them, a failed one for each look whether a sandbox is ready.
type own struct{ trace.Span }

// TracerProvider is what libraries make spans with.
func (own) TracerProvider() trace.TracerProvider { return noop.NewTracerProvider() }

func (t *Tracer) start(ctx context.Context, name string, options ...trace.SpanStartOption) (context.Context, trace.Span) {
	ctx, span := t.tracer.Start(ctx, name, options...)
	return trace.ContextWithSpan(ctx, own{span}), span
}

func ending(span trace.Span) func(error) {
	return func(err error) {
		switch {
		case errors.Is(err, context.Canceled):
			span.SetAttributes(attribute.Bool("canceled", true))
		case err != nil:
			span.SetStatus(codes.Error, kindOf(err))
		}
		span.End()
	}
}

// kindOf is all that a span tells of an error. Its text is for the pod's owner, or
// for the log: an engine repeats commands, a registry addresses, and a collector is
// read by others than those who may read a pod.
func kindOf(err error) string {
	for _, kind := range []struct {
		is   func(error) bool
		text string
	}{
		{func(err error) bool { return errors.Is(err, context.DeadlineExceeded) }, "timeout"},
		{errdefs.IsNotFound, "not found"},
		{errdefs.IsUnavailable, "unavailable"},
		{errdefs.IsInvalidArgument, "invalid argument"},
		{errdefs.IsPermissionDenied, "permission denied"},
		{errdefs.IsUnauthorized, "unauthenticated"},
		{errdefs.IsResourceExhausted, "resource exhausted"},
		{errdefs.IsFailedPrecondition, "failed precondition"},
		{errdefs.IsConflict, "conflict"},
		{errdefs.IsAlreadyExists, "already exists"},
	} {
		if kind.is(err) {
			return kind.text
		}
	}
	return "failed"
}
