package probes

import (
	"fmt"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Validate checks the probes and the hooks of a container by the rules of the Kubernetes API, and beyond it that port
// names exist, which kubelet finds out only at the first probe. Fields left at zero have their defaults. Path is where
// the container stands in its pod, such as spec.containers[0].
func Validate(c *v1.Container, path *field.Path) field.ErrorList {
	v := &validator{container: c}
	if p := c.StartupProbe; p != nil {
		v.probe(p, path.Child("startupProbe"))
		v.single(p, path.Child("startupProbe"))
	}
	if p := c.LivenessProbe; p != nil {
		v.probe(p, path.Child("livenessProbe"))
		v.single(p, path.Child("livenessProbe"))
	}
	if p := c.ReadinessProbe; p != nil {
		v.probe(p, path.Child("readinessProbe"))
		if p.TerminationGracePeriodSeconds != nil {
			v.fault(path.Child("readinessProbe", "terminationGracePeriodSeconds"), "must not be set for a readiness probe")
		}
	}
	if l := c.Lifecycle; l != nil {
		v.hook(l.PostStart, path.Child("lifecycle", "postStart"))
		v.hook(l.PreStop, path.Child("lifecycle", "preStop"))
		if l.PostStart != nil && l.PostStart.TCPSocket != nil {
			v.fault(path.Child("lifecycle", "postStart", "tcpSocket"),
				"is not supported and would always fail; use exec, httpGet or sleep")
		}
	}
	return v.faults
}

// validator collects faults, so that the user learns of all at once.
type validator struct {
	container *v1.Container
	faults    field.ErrorList
}

// fault adds one, as a sentence that goes on from the path.
func (v *validator) fault(path *field.Path, format string, args ...any) {
	v.faults = append(v.faults, field.Invalid(path, field.OmitValueType{}, fmt.Sprintf(format, args...)))
}

func (v *validator) probe(p *v1.Probe, path *field.Path) {
	v.handler(handlers{p.Exec, p.HTTPGet, p.TCPSocket, p.GRPC, nil}, "exec, httpGet, tcpSocket or grpc", path)
	numbers := []struct {
		name  string
		value int32
	}{
		{"initialDelaySeconds", p.InitialDelaySeconds},
		{"timeoutSeconds", p.TimeoutSeconds},
		{"periodSeconds", p.PeriodSeconds},
		{"successThreshold", p.SuccessThreshold},
		{"failureThreshold", p.FailureThreshold},
	}
	for _, n := range numbers {
		if n.value < 0 {
			v.fault(path.Child(n.name), "is %d, must not be negative", n.value)
		}
	}
	if grace := p.TerminationGracePeriodSeconds; grace != nil && *grace < 1 {
		v.fault(path.Child("terminationGracePeriodSeconds"), "is %d, must be at least 1", *grace)
	}
}

// single checks what only holds for the probes that kill: one success is enough.
func (v *validator) single(p *v1.Probe, path *field.Path) {
	if p.SuccessThreshold > 1 {
		v.fault(path.Child("successThreshold"), "is %d, must be 1", p.SuccessThreshold)
	}
}

func (v *validator) hook(h *v1.LifecycleHandler, path *field.Path) {
	if h == nil {
		return
	}
	v.handler(handlers{h.Exec, h.HTTPGet, h.TCPSocket, nil, h.Sleep}, "exec, httpGet or sleep", path)
}

// handlers are the actions of which a probe or a hook has exactly one.
type handlers struct {
	exec  *v1.ExecAction
	http  *v1.HTTPGetAction
	tcp   *v1.TCPSocketAction
	grpc  *v1.GRPCAction
	sleep *v1.SleepAction
}

func (v *validator) handler(h handlers, choice string, path *field.Path) {
	set := 0
	for _, given := range []bool{h.exec != nil, h.http != nil, h.tcp != nil, h.grpc != nil, h.sleep != nil} {
		if given {
			set++
		}
	}
	if set != 1 {
		v.fault(path, "has %d handlers, must have exactly one of %s", set, choice)
	}
	if h.exec != nil && len(h.exec.Command) == 0 {
		v.fault(path.Child("exec", "command"), "must not be empty")
	}
	if h.http != nil {
		v.http(h.http, path.Child("httpGet"))
	}
	if h.tcp != nil {
		v.port(h.tcp.Port, path.Child("tcpSocket", "port"))
	}
	if h.grpc != nil {
		v.grpc(h.grpc, path.Child("grpc"))
	}
	if h.sleep != nil && h.sleep.Seconds < 0 {
		v.fault(path.Child("sleep", "seconds"), "is %d, must not be negative", h.sleep.Seconds)
	}
}

func (v *validator) http(a *v1.HTTPGetAction, path *field.Path) {
	v.port(a.Port, path.Child("port"))
	switch a.Scheme {
	case "", v1.URISchemeHTTP, v1.URISchemeHTTPS:
	default:
		v.fault(path.Child("scheme"), "is %s, must be HTTP or HTTPS", a.Scheme)
	}
	for i, h := range a.HTTPHeaders {
		if len(validation.IsHTTPHeaderName(h.Name)) > 0 {
			v.fault(path.Child("httpHeaders").Index(i).Child("name"), "is %s, which is no header name", h.Name)
		}
	}
	if a.Protocol == nil {
		return
	}
	switch *a.Protocol {
	case v1.HTTPProtocolHTTP1:
	case v1.HTTPProtocolHTTP2:
		if a.Scheme == v1.URISchemeHTTPS {
			v.fault(path.Child("protocol"), "is HTTP2, which needs the scheme HTTP")
		}
	default:
		v.fault(path.Child("protocol"), "is %s, must be HTTP1 or HTTP2", *a.Protocol)
	}
}

func (v *validator) grpc(a *v1.GRPCAction, path *field.Path) {
	v.port(intstr.FromInt32(a.Port), path.Child("port"))
	if a.Mode == nil {
		return
	}
	switch *a.Mode {
	case v1.GRPCProbeModePlaintext, v1.GRPCProbeModeTLS:
	default:
		v.fault(path.Child("mode"), "is %s, must be Plaintext or TLS", *a.Mode)
	}
}

func (v *validator) port(port intstr.IntOrString, path *field.Path) {
	if _, err := portNumber(v.container, port); err != nil {
		v.fault(path, "%v", err)
	}
}
