package podspec

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/docker/go-units"
	"github.com/mattn/go-shellwords"
	"github.com/spf13/pflag"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
)

// flagsAnnotation carries flags of docker run that a user adds to a pod
// (protocol 6.1). They apply to each of its containers.
const flagsAnnotation = "docker-options.vk.io/flags"

// grantingFlags give a container more than it has without them. A user who may create
// pods may write annotations, and what a cluster forbids in securityContext, by Pod
// Security Admission say, it does not look for there.
var grantingFlags = []string{"cap-add", "user"}

// harmlessUlimits are those that bear on the container's own processes alone. Others
// lock memory, take real-time priority, or count across containers.
var harmlessUlimits = []string{"cpu", "data", "fsize", "nofile", "rss", "stack"}

// dockerFlags are the flags that have a meaning inside a sandbox and give a pod
// nothing that its security context could not ask for.
type dockerFlags struct {
	shmBytes   int64
	pidsLimit  int64
	memory     int64
	nanoCPUs   int64
	ulimits    []engine.Ulimit
	capAdd     []string
	capDrop    []string
	env        []string
	user       string
	workdir    string
	stopSignal string
	readOnly   bool
	init       bool
}

// parseFlags reads the annotation as docker's command line would, without
// expanding anything. A flag that is not on the list is refused by name, and so is
// one that grants unless annotations are trusted.
func parseFlags(pod *v1.Pod, node Node) (dockerFlags, error) {
	var out dockerFlags
	text := pod.Annotations[flagsAnnotation]
	field := fmt.Sprintf("metadata.annotations[%q]", flagsAnnotation)
	if strings.TrimSpace(text) == "" {
		return out, nil
	}
	words, err := shellwords.Parse(text)
	if err != nil {
		return out, invalid(field, "not a list of flags: quotes or brackets in it do not end")
	}
	set := pflag.NewFlagSet("docker run", pflag.ContinueOnError)
	set.Usage = func() {}
	var shm, memory, cpus, ipc string
	var ulimits []string
	set.StringVar(&shm, "shm-size", "", "")
	set.StringVar(&ipc, "ipc", "", "")
	set.StringVarP(&memory, "memory", "m", "", "")
	set.StringVar(&cpus, "cpus", "", "")
	set.Int64Var(&out.pidsLimit, "pids-limit", 0, "")
	set.StringArrayVar(&ulimits, "ulimit", nil, "")
	set.StringArrayVar(&out.capAdd, "cap-add", nil, "")
	set.StringArrayVar(&out.capDrop, "cap-drop", nil, "")
	set.StringArrayVarP(&out.env, "env", "e", nil, "")
	set.StringVarP(&out.user, "user", "u", "", "")
	set.StringVarP(&out.workdir, "workdir", "w", "", "")
	set.StringVar(&out.stopSignal, "stop-signal", "", "")
	set.BoolVar(&out.readOnly, "read-only", false, "")
	set.BoolVar(&out.init, "init", false, "")
	if err := set.Parse(words); err != nil {
		return out, invalid(field, "%s: the flags honoured here are %s", flagProblem(err), flagNames(set))
	}
	if set.NArg() > 0 {
		return out, invalid(field, "a word of it is neither a flag nor the value of one")
	}
	if ipc != "" && !slices.Contains([]string{"host", "private", "shareable"}, ipc) {
		return out, invalid(field, "--ipc: the containers of a pod share one IPC namespace")
	}
	if err := out.check(pod, node, field, shm, memory, cpus, ulimits); err != nil || node.TrustAnnotations {
		return out, err
	}
	return out, out.restricts(field, set)
}

// restricts refuses flags that grant, by name.
func (f *dockerFlags) restricts(field string, set *pflag.FlagSet) error {
	const trust = "is honoured only where the operator sets TrustedAnnotationFlags to true"
	for _, name := range grantingFlags {
		if set.Changed(name) {
			return invalid(field, "--%s %s; use securityContext in its place", name, trust)
		}
	}
	for _, limit := range f.ulimits {
		if !slices.Contains(harmlessUlimits, limit.Name) {
			return invalid(field, "--ulimit of %s %s; without that it takes %s", limit.Name, trust, strings.Join(harmlessUlimits, ", "))
		}
	}
	return nil
}

// flagProblem names a flag and never its value, which may be a secret.
func flagProblem(err error) string {
	var (
		unknown *pflag.NotExistError
		value   *pflag.InvalidValueError
		missing *pflag.ValueRequiredError
	)
	switch {
	case errors.As(err, &unknown):
		return fmt.Sprintf("unknown flag %.40q", unknown.GetSpecifiedName())
	case errors.As(err, &value):
		return "--" + value.GetFlag().Name + " has a value that is not of its kind"
	case errors.As(err, &missing):
		return fmt.Sprintf("%.40q has no value", missing.GetSpecifiedName())
	}
	return "not a list of flags"
}

func flagNames(set *pflag.FlagSet) string {
	var names []string
	set.VisitAll(func(f *pflag.Flag) { names = append(names, "--"+f.Name) })
	return strings.Join(names, ", ")
}

// check reads the flags' values.
func (f *dockerFlags) check(pod *v1.Pod, node Node, field, shm, memory, cpus string, ulimits []string) error {
	for _, size := range []struct {
		name, text string
		into       *int64
	}{{"--shm-size", shm, &f.shmBytes}, {"--memory", memory, &f.memory}} {
		if size.text == "" {
			continue
		}
		n, err := units.RAMInBytes(size.text)
		if err != nil || n <= 0 {
			return invalid(field, "%s is not a size", size.name)
		}
		*size.into = n
	}
	if cpus != "" {
		quantity, err := parseCPUs(cpus)
		if err != nil {
			return invalid(field, "--cpus is not a number of CPUs")
		}
		f.nanoCPUs = quantity
	}
	for _, text := range ulimits {
		limit, err := units.ParseUlimit(text)
		if err != nil {
			return invalid(field, "--ulimit is not NAME=SOFT:HARD with numbers that fit together")
		}
		f.ulimits = append(f.ulimits, engine.Ulimit{Name: limit.Name, Soft: limit.Soft, Hard: limit.Hard})
	}
	for _, name := range f.capAdd {
		if name := capability(v1.Capability(name)); name != "ALL" && !slices.Contains(node.capabilities(pod), name) {
			return invalid(field, "--cap-add names a capability that is not available on this node")
		}
	}
	for _, variable := range f.env {
		if name, _, found := strings.Cut(variable, "="); !found || name == "" {
			return invalid(field, "--env takes NAME=VALUE")
		}
	}
	return nil
}

// ShmBytes is how large a pod's annotation makes /dev/shm, 0 if it says nothing.
func ShmBytes(pod *v1.Pod, node Node) (int64, error) {
	flags, err := parseFlags(pod, node)
	return flags.shmBytes, err
}

// apply adds the flags to a container's spec. What the pod's own fields say
// wins.
func (f dockerFlags) apply(spec *engine.Spec, pod *v1.Pod, node Node) {
	r := &spec.Resources
	r.MemoryBytes = cmp.Or(r.MemoryBytes, f.memory)
	r.NanoCPUs = cmp.Or(r.NanoCPUs, f.nanoCPUs)
	r.PidsLimit = cmp.Or(r.PidsLimit, f.pidsLimit)
	r.Ulimits = append(r.Ulimits, f.ulimits...)
	spec.User = cmp.Or(spec.User, f.user)
	spec.WorkingDir = cmp.Or(spec.WorkingDir, f.workdir)
	spec.StopSignal = cmp.Or(spec.StopSignal, f.stopSignal)
	spec.ReadonlyRootfs = spec.ReadonlyRootfs || f.readOnly
	spec.Init = spec.Init || f.init
	spec.Env = append(slices.Clone(f.env), spec.Env...)
	asked := &v1.Capabilities{}
	for _, name := range f.capAdd {
		asked.Add = append(asked.Add, v1.Capability(name))
	}
	for _, name := range f.capDrop {
		asked.Drop = append(asked.Drop, v1.Capability(name))
	}
	applyCapabilities(spec, asked, pod, node)
}

// parseCPUs reads a number as docker run takes it, without exponent; one of a
// thousand digits would be read for seconds.
func parseCPUs(text string) (int64, error) {
	if len(text) > len("1000000.123456789") || strings.ContainsAny(text, "eE") {
		return 0, fmt.Errorf("%s is not a plain number", text)
	}
	quantity, err := resource.ParseQuantity(text)
	if err == nil && (quantity.Sign() <= 0 || quantity.CmpInt64(maxCPUs) > 0) {
		err = fmt.Errorf("%s is not a number of CPUs", text)
	}
	return quantity.MilliValue() * 1e6, err
}
