// Package collector takes OpenTelemetry spans in tests, as an OTLP collector does.
package collector

import (
	"context"
	"net"
	"slices"
	"sync"
	"testing"

	collect "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	spans "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
)

// Collector listens on loopback until its test ends.
type Collector struct {
	collect.UnimplementedTraceServiceServer
	// Address is HOST:PORT.
	Address string

	mu       sync.Mutex
	services []string
	got      []*spans.Span
}

// Start makes one; options may ask for TLS.
func Start(t testing.TB, options ...grpc.ServerOption) *Collector {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &Collector{Address: listener.Addr().String()}
	server := grpc.NewServer(options...)
	collect.RegisterTraceServiceServer(server, c)
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return c
}

// Export is the collector's only method.
func (c *Collector) Export(_ context.Context, r *collect.ExportTraceServiceRequest) (*collect.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range r.ResourceSpans {
		c.services = append(c.services, Text(resource.Resource.Attributes, "service.name"))
		for _, scope := range resource.ScopeSpans {
			c.got = append(c.got, scope.Spans...)
		}
	}
	return &collect.ExportTraceServiceResponse{}, nil
}

// Spans are those that came, in their order.
func (c *Collector) Spans() []*spans.Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.got)
}

// Services are the names that sent spans, one for each batch.
func (c *Collector) Services() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.services)
}

// Span is the last one of that name, nil when none came.
func (c *Collector) Span(name string) *spans.Span {
	for _, span := range slices.Backward(c.Spans()) {
		if span.Name == name {
			return span
		}
	}
	return nil
}

// Text is an attribute, "" when it is not there.
func Text(attributes []*common.KeyValue, key string) string {
	for _, a := range attributes {
		if a.Key == key {
			return a.Value.GetStringValue()
		}
	}
	return ""
}

// Number is an attribute; false means that it is not there or is no number.
func Number(attributes []*common.KeyValue, key string) (int64, bool) {
	for _, a := range attributes {
		if a.Key == key {
			_, is := a.Value.Value.(*common.AnyValue_IntValue)
			return a.Value.GetIntValue(), is
		}
	}
	return 0, false
}
