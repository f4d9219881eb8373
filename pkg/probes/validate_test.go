package probes_test

import (
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/probes"
)

func pointer[T any](v T) *T { return &v }

func live(change func(*v1.Probe)) func(*v1.Container) {
	return func(c *v1.Container) { c.LivenessProbe = probe(probes.Liveness, change) }
}

func liveHTTP(a v1.HTTPGetAction) func(*v1.Container) {
	return func(c *v1.Container) {
		c.LivenessProbe = &v1.Probe{ProbeHandler: v1.ProbeHandler{HTTPGet: &a}}
	}
}

func hooks(postStart, preStop *v1.LifecycleHandler) func(*v1.Container) {
	return func(c *v1.Container) { c.Lifecycle = &v1.Lifecycle{PostStart: postStart, PreStop: preStop} }
}

func TestValidate(t *testing.T) {
	web := intstr.FromString("web")
	tests := []struct {
		name   string
		change func(*v1.Container)
		want   string // part of the error; none when the container is valid
	}{
		{"nothing", func(*v1.Container) {}, ""},
		{"named port, HTTPS, headers", liveHTTP(v1.HTTPGetAction{
			Port: web, Scheme: v1.URISchemeHTTPS, HTTPHeaders: []v1.HTTPHeader{{Name: "X-A", Value: "b"}},
		}), ""},
		{"HTTP2 without TLS", liveHTTP(v1.HTTPGetAction{Port: web, Protocol: pointer(v1.HTTPProtocolHTTP2)}), ""},
		{"readiness with a success threshold", func(c *v1.Container) {
			c.ReadinessProbe = probe(probes.Readiness, func(p *v1.Probe) { p.SuccessThreshold = 5 })
		}, ""},
		{"grpc", func(c *v1.Container) {
			c.StartupProbe = &v1.Probe{ProbeHandler: v1.ProbeHandler{
				GRPC: &v1.GRPCAction{Port: 1, Mode: pointer(v1.GRPCProbeModeTLS)},
			}}
		}, ""},
		{"hooks", hooks(execHook("a"), &v1.LifecycleHandler{Sleep: &v1.SleepAction{}}), ""},
		{"preStop tcpSocket, which Kubernetes accepts", hooks(nil, &v1.LifecycleHandler{
			TCPSocket: &v1.TCPSocketAction{Port: web},
		}), ""},

		{"no handler", func(c *v1.Container) { c.StartupProbe = &v1.Probe{} },
			"x.startupProbe: has 0 handlers, must have exactly one of exec, httpGet, tcpSocket or grpc"},
		{"two handlers", live(func(p *v1.Probe) { p.TCPSocket = &v1.TCPSocketAction{Port: web} }),
			"x.livenessProbe: has 2 handlers"},
		{"empty command", func(c *v1.Container) { c.ReadinessProbe = execProbe() },
			"x.readinessProbe.exec.command: must not be empty"},
		{"negative delay", live(func(p *v1.Probe) { p.InitialDelaySeconds = -1 }),
			"x.livenessProbe.initialDelaySeconds: is -1, must not be negative"},
		{"negative timeout", live(func(p *v1.Probe) { p.TimeoutSeconds = -2 }), "x.livenessProbe.timeoutSeconds: is -2"},
		{"negative period", live(func(p *v1.Probe) { p.PeriodSeconds = -3 }), "x.livenessProbe.periodSeconds: is -3"},
		{"negative successes", live(func(p *v1.Probe) { p.SuccessThreshold = -4 }), "x.livenessProbe.successThreshold: is -4"},
		{"negative failures", live(func(p *v1.Probe) { p.FailureThreshold = -5 }), "x.livenessProbe.failureThreshold: is -5"},
		{"liveness with two successes", live(func(p *v1.Probe) { p.SuccessThreshold = 2 }),
			"x.livenessProbe.successThreshold: is 2, must be 1"},
		{"startup with two successes", func(c *v1.Container) {
			c.StartupProbe = probe(probes.Startup, func(p *v1.Probe) { p.SuccessThreshold = 2 })
		}, "x.startupProbe.successThreshold: is 2, must be 1"},
		{"no grace", live(func(p *v1.Probe) { p.TerminationGracePeriodSeconds = pointer(int64(0)) }),
			"x.livenessProbe.terminationGracePeriodSeconds: is 0, must be at least 1"},
		{"readiness with grace", func(c *v1.Container) {
			c.ReadinessProbe = probe(probes.Readiness, func(p *v1.Probe) { p.TerminationGracePeriodSeconds = pointer(int64(3)) })
		}, "x.readinessProbe.terminationGracePeriodSeconds: must not be set"},
		{"unknown port name", liveHTTP(v1.HTTPGetAction{Port: intstr.FromString("admin")}),
			`x.livenessProbe.httpGet.port: port admin is neither a number from 1 to 65535 nor the name of a port of container c`},
		{"empty port name", liveHTTP(v1.HTTPGetAction{Port: intstr.FromString("")}), `httpGet.port: port without a name is neither`},
		{"port 0", liveHTTP(v1.HTTPGetAction{Port: intstr.FromInt32(0)}), `httpGet.port: port 0 is neither`},
		{"port 65536", func(c *v1.Container) { c.LivenessProbe = tcpProbe("", intstr.FromInt32(65536)) },
			`x.livenessProbe.tcpSocket.port: port 65536 is neither`},
		{"grpc port", func(c *v1.Container) {
			c.LivenessProbe = &v1.Probe{ProbeHandler: v1.ProbeHandler{GRPC: &v1.GRPCAction{Port: -1}}}
		}, `x.livenessProbe.grpc.port: port -1 is neither`},
		{"grpc mode", func(c *v1.Container) {
			c.LivenessProbe = &v1.Probe{ProbeHandler: v1.ProbeHandler{
				GRPC: &v1.GRPCAction{Port: 1, Mode: pointer(v1.GRPCProbeMode("mTLS"))},
			}}
		}, `x.livenessProbe.grpc.mode: is mTLS`},
		{"scheme", liveHTTP(v1.HTTPGetAction{Port: web, Scheme: "ftp"}),
			`x.livenessProbe.httpGet.scheme: is ftp, must be HTTP or HTTPS`},
		{"header name", liveHTTP(v1.HTTPGetAction{Port: web, HTTPHeaders: []v1.HTTPHeader{{Name: "ok"}, {Name: "a b"}}}),
			`x.livenessProbe.httpGet.httpHeaders[1].name: is a b`},
		{"protocol", liveHTTP(v1.HTTPGetAction{Port: web, Protocol: pointer(v1.HTTPProtocol("HTTP3"))}),
			`x.livenessProbe.httpGet.protocol: is HTTP3`},
		{"HTTP2 with TLS", liveHTTP(v1.HTTPGetAction{
			Port: web, Scheme: v1.URISchemeHTTPS, Protocol: pointer(v1.HTTPProtocolHTTP2),
		}), "x.livenessProbe.httpGet.protocol: is HTTP2, which needs the scheme HTTP"},
		{"empty hook", hooks(&v1.LifecycleHandler{}, nil),
			"x.lifecycle.postStart: has 0 handlers, must have exactly one of exec, httpGet or sleep"},
		{"negative sleep", hooks(nil, &v1.LifecycleHandler{Sleep: &v1.SleepAction{Seconds: -1}}),
			"x.lifecycle.preStop.sleep.seconds: is -1"},
		{"hook with an unknown port", hooks(nil, &v1.LifecycleHandler{
			HTTPGet: &v1.HTTPGetAction{Port: intstr.FromString("admin")},
		}), "x.lifecycle.preStop.httpGet.port"},
		{"postStart tcpSocket", hooks(&v1.LifecycleHandler{TCPSocket: &v1.TCPSocketAction{Port: web}}, nil),
			"x.lifecycle.postStart.tcpSocket: is not supported"},
		{"two faults", live(func(p *v1.Probe) { p.TimeoutSeconds, p.PeriodSeconds = -1, -1 }),
			"timeoutSeconds: is -1, must not be negative, x.livenessProbe.periodSeconds"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := &v1.Container{Name: "c", Ports: []v1.ContainerPort{{Name: "web", ContainerPort: 8080}}}
			tt.change(c)
			err := probes.Validate(c, field.NewPath("x")).ToAggregate()
			if tt.want == "" {
				if err != nil {
					t.Errorf("got %v, want no error", err)
				}
				return
			}
			if err == nil || !strings.Contains(strings.ReplaceAll(err.Error(), "Invalid value: ", ""), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}
