// Package metrics counts and times what docker-sd does, in a registry of its
// own. It is the only package that knows Prometheus; the others tell it of steps
// and events through callbacks of their own.
package metrics

import (
	"context"
	"errors"
	"net/http"
	"runtime"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/admin"
)

// Metrics of one docker-sd.
type Metrics struct {
	registry       *prometheus.Registry
	requests       *prometheus.HistogramVec
	steps          map[string]*prometheus.HistogramVec
	events         map[string]prometheus.Counter
	pulledBytes    prometheus.Counter
	engineRequests *prometheus.CounterVec
	engineSeconds  *prometheus.HistogramVec
}

// New makes and registers all metrics. source is asked at every scrape.
func New(version, instance string, source admin.Source) *Metrics {
	m := &Metrics{registry: prometheus.NewRegistry(), steps: map[string]*prometheus.HistogramVec{}, events: map[string]prometheus.Counter{}}
	m.requests = histogram("http_request_duration_seconds", "Time to answer a call of the sidecar protocol; a followed log counts until its end.", quick, "route", "code")
	m.engineRequests = prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: "engine_requests_total",
		Help: "Requests to Docker engines, by the engine (host or sandbox), the operation, and the HTTP status or none."}, []string{"engine", "operation", "code"})
	m.engineSeconds = histogram("engine_request_duration_seconds", "Time until a Docker engine began to answer.", quick, "engine", "operation")
	m.pulledBytes = prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: "image_pulled_bytes_total",
		Help: "Unpacked size of the images that were pulled."})
	build := prometheus.NewGauge(prometheus.GaugeOpts{Namespace: namespace, Name: "build_info", Help: "Always 1; the labels say what runs.",
		ConstLabels: prometheus.Labels{"version": version, "go_version": runtime.Version(), "instance_name": instance}})
	build.Set(1)
	m.registry.MustRegister(m.requests, m.engineRequests, m.engineSeconds, m.pulledBytes, build, &state{source: source},
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	for _, s := range steps() {
		m.steps[s.step] = histogram(s.name, s.help, s.buckets, "outcome")
		m.registry.MustRegister(m.steps[s.step])
		// There from the start, so that a rate can be had of the first one.
		for _, outcome := range []string{outcomeOK, outcomeError} {
			m.steps[s.step].WithLabelValues(outcome)
		}
	}
	for _, e := range events() {
		counter := prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: e.name, Help: e.help, ConstLabels: e.labels})
		m.events[e.event] = counter
		m.registry.MustRegister(counter)
	}
	return m
}

func histogram(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets}, labels)
}

// Handler answers a scrape.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// Gatherer gives the metrics to tests and to the documentation.
func (m *Metrics) Gatherer() prometheus.Gatherer { return m.registry }

// Request counts an answered call.
func (m *Metrics) Request(route string, code int, took time.Duration) {
	m.requests.WithLabelValues(route, strconv.Itoa(code)).Observe(took.Seconds())
}

// Step counts a step of a pod or a sandbox that has ended; steps that are not in
// the table are left to traces.
func (m *Metrics) Step(step string, took time.Duration, err error) {
	if h, known := m.steps[step]; known {
		h.WithLabelValues(outcome(err)).Observe(took.Seconds())
	}
}

// Event counts an event; those that are not in the table are left to the log.
func (m *Metrics) Event(event string) {
	if c, known := m.events[event]; known {
		c.Inc()
	}
}

// Pulled counts the size of an image that was pulled.
func (m *Metrics) Pulled(bytes int64) { m.pulledBytes.Add(float64(max(bytes, 0))) }

// EngineCall counts a request to an engine; code is 0 if there was no answer.
func (m *Metrics) EngineCall(engine, operation string, code int, took time.Duration) {
	text := "none"
	if code > 0 {
		text = strconv.Itoa(code)
	}
	m.engineRequests.WithLabelValues(engine, operation, text).Inc()
	m.engineSeconds.WithLabelValues(engine, operation).Observe(took.Seconds())
}

// How a step ends.
const (
	outcomeOK       = "ok"
	outcomeError    = "error"
	outcomeCanceled = "canceled"
)

func outcome(err error) string {
	switch {
	case err == nil:
		return outcomeOK
	case errors.Is(err, context.Canceled):
		return outcomeCanceled
	}
	return outcomeError
}
