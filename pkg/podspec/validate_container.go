package podspec

import (
	"math"
	"path"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/probes"
)

// container checks one container of the pod.
func (f *faults) container(pod *v1.Pod, node Node, c namedContainer) {
	f.label(c.at.Child("name"), c.Name)
	// One that is no name of an image is for its container to tell (InvalidImageName).
	if c.Image == "" || strings.TrimSpace(c.Image) != c.Image {
		f.invalid(c.at.Child("image"), "%s is not an image: it must not be empty, nor begin or end with a space", shown(c.Image))
	}
	f.oneOf(c.at.Child("imagePullPolicy"), string(c.ImagePullPolicy), string(v1.PullAlways), string(v1.PullIfNotPresent), string(v1.PullNever), "")
	f.process(pod, node, c)
	f.fileKeys(pod, c)
	f.oneOf(c.at.Child("terminationMessagePolicy"), string(c.TerminationMessagePolicy),
		string(v1.TerminationMessageReadFile), string(v1.TerminationMessageFallbackToLogsOnError), "")
	if file := c.TerminationMessagePath; file != "" && (!path.IsAbs(file) || path.Clean(file) != file || file == "/") {
		f.invalid(c.at.Child("terminationMessagePath"), "%s is not the absolute path of a file", shown(file))
	}
	f.ports(c)
	f.resources(c.Container, c.at.Child("resources"), node)
	f.restarts(c)
	f.security(pod, node, c)
	if c.init && !IsSidecar(c.Container) {
		f.plainInit(c)
	}
	f.list = append(f.list, probes.Validate(c.Container, c.at)...)
}

// process checks variables, command and arguments: what no process can be given.
func (f *faults) process(pod *v1.Pod, node Node, c namedContainer) {
	before := len(f.list)
	for i, variable := range c.Env {
		// An engine splits at the first "=", and the kernel ends a string at NUL.
		if at := c.at.Child("env").Index(i); len(validation.IsRelaxedEnvVarName(variable.Name)) > 0 {
			f.invalid(at.Child("name"), "%s must be printable ASCII without an equals sign", shown(variable.Name))
		} else if strings.ContainsRune(variable.Value, 0) {
			f.invalid(at.Child("value"), "contains a NUL byte")
		}
	}
	for _, list := range wordsOf(c) {
		for i, word := range list.words {
			if strings.ContainsRune(word, 0) {
				f.invalid(list.at.Index(i), "contains a NUL byte")
			}
		}
	}
	if c.WorkingDir != "" && !strings.HasPrefix(c.WorkingDir, "/") {
		f.invalid(c.at.Child("workingDir"), "%s is not an absolute path", shown(c.WorkingDir))
	}
	if len(f.list) == before {
		f.sizes(pod, node, c)
	}
}

// words are a command or arguments, and where they stand.
type words struct {
	at    *field.Path
	words []string
}

// wordsOf lists both lists of words that become arguments of the process.
func wordsOf(c namedContainer) []words {
	return []words{{c.at.Child("command"), c.Command}, {c.at.Child("args"), c.Args}}
}

// sizes refuses variables and arguments that no process can be given. A few bytes
// of references can stand for gigabytes.
func (f *faults) sizes(pod *v1.Pod, node Node, c namedContainer) {
	const rule = "longer than Linux allows: 128 KiB for one variable or argument, 6 MiB for all of a container"
	env := NewEnvironment(pod, c.Container, node, "", nil)
	if env.long != "" {
		f.invalid(c.at.Child("env"), "%s makes them "+rule, shown(env.long))
		return
	}
	size := env.size
	for _, list := range wordsOf(c) {
		for i, word := range list.words {
			long := len(expand(word, env.lookup)) + len("\x00")
			if size += long; long > maxArgument || size > maxArguments {
				f.invalid(list.at.Index(i), rule)
				return
			}
		}
	}
}

// plainInit refuses what only lasting containers have (Kubernetes API).
func (f *faults) plainInit(c namedContainer) {
	for _, given := range []struct {
		name string
		set  bool
	}{
		{"livenessProbe", c.LivenessProbe != nil}, {"readinessProbe", c.ReadinessProbe != nil},
		{"startupProbe", c.StartupProbe != nil}, {"lifecycle", c.Lifecycle != nil},
	} {
		if given.set {
			f.forbid(c.at.Child(given.name), "an init container cannot have it, unless its restartPolicy is Always")
		}
	}
}

// ports checks the ports that a container names.
func (f *faults) ports(c namedContainer) {
	named := map[string]bool{}
	for i, port := range c.Ports {
		at := c.at.Child("ports").Index(i)
		if port.Name != "" && len(validation.IsValidPortName(port.Name)) > 0 {
			f.invalid(at.Child("name"), "%s is not a port name: lower-case letters, digits and single hyphens, at least one letter, at most 15 characters", shown(port.Name))
		}
		if port.Name != "" && named[port.Name] {
			f.invalid(at.Child("name"), "%s is used twice in this container", shown(port.Name))
		}
		named[port.Name] = true
		f.between(at.Child("containerPort"), int64(port.ContainerPort), 1, math.MaxUint16)
		f.between(at.Child("hostPort"), int64(port.HostPort), 0, math.MaxUint16)
		if port.HostIP != "" {
			f.ip(at.Child("hostIP"), port.HostIP)
		}
		if port.Protocol != v1.ProtocolSCTP { // which has its own refusal
			f.oneOf(at.Child("protocol"), string(port.Protocol), string(v1.ProtocolTCP), string(v1.ProtocolUDP), "")
		}
	}
}

// hostPorts refuses two wishes for one port of the host. An init container may
// name the port of another container if it is the same port of the pod too.
func (f *faults) hostPorts(pod *v1.Pod) {
	type wish struct {
		engine.Port
		at   *field.Path
		init bool
	}
	wishes := map[uint16][]wish{}
	for _, c := range namedContainers(pod) {
		for i, p := range c.Ports {
			if p.HostPort == 0 {
				continue
			}
			wanted := wish{portOf(p), c.at.Child("ports").Index(i).Child("hostPort"), c.init}
			held := wishes[wanted.Host]
			at := slices.IndexFunc(held, func(w wish) bool {
				return SamePort(w.Port, wanted.Port) && !(w.Port == wanted.Port && w.init)
			})
			if at >= 0 {
				f.invalid(wanted.at, "%d/%s is the port of %s already", p.HostPort, wanted.Protocol, held[at].at)
				continue
			}
			wishes[wanted.Host] = append(held, wanted)
		}
	}
}

// Limits of the Kubernetes API for restartPolicyRules.
const (
	maxRestartRules = 20
	maxExitCodes    = 255
)

// restarts checks restartPolicy and restartPolicyRules of a container.
func (f *faults) restarts(c namedContainer) {
	if c.RestartPolicy != nil {
		f.oneOf(c.at.Child("restartPolicy"), string(*c.RestartPolicy), string(v1.ContainerRestartPolicyAlways),
			string(v1.ContainerRestartPolicyOnFailure), string(v1.ContainerRestartPolicyNever))
	} else if len(c.RestartPolicyRules) > 0 {
		f.invalid(c.at.Child("restartPolicy"), "must be set where restartPolicyRules are")
	}
	rules := c.at.Child("restartPolicyRules")
	if n := len(c.RestartPolicyRules); n > maxRestartRules {
		f.invalid(rules, "has %d entries, %d are possible", n, maxRestartRules)
	}
	for i, rule := range c.RestartPolicyRules {
		f.oneOf(rules.Index(i).Child("action"), string(rule.Action),
			string(v1.ContainerRestartRuleActionRestart), string(v1.ContainerRestartRuleActionRestartAllContainers))
		at, codes := rules.Index(i).Child("exitCodes"), rule.ExitCodes
		if codes == nil {
			f.invalid(at, "must be set")
			continue
		}
		f.oneOf(at.Child("operator"), string(codes.Operator),
			string(v1.ContainerRestartRuleOnExitCodesOpIn), string(v1.ContainerRestartRuleOnExitCodesOpNotIn))
		if n := len(codes.Values); n > maxExitCodes {
			f.invalid(at.Child("values"), "has %d entries, %d are possible", n, maxExitCodes)
		}
	}
}
