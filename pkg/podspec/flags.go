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
	"k8s.io/apimachinery/pkg/util/validation/field"

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

// texts are the values of flags that are read after the list as a whole.
type texts struct {
	shm, memory, cpus, ipc string
	ulimits                []string
}

// flagSet defines the flags that are honoured, in docker's spelling.
func (d *dockerFlags) flagSet(t *texts) *pflag.FlagSet {
	set := pflag.NewFlagSet("docker run", pflag.ContinueOnError)
	set.Usage = func() {}
	set.StringVar(&t.shm, "shm-size", "", "")
	set.StringVar(&t.ipc, "ipc", "", "")
	set.StringVarP(&t.memory, "memory", "m", "", "")
	set.StringVar(&t.cpus, "cpus", "", "")
	set.Int64Var(&d.pidsLimit, "pids-limit", 0, "")
	set.StringArrayVar(&t.ulimits, "ulimit", nil, "")
	set.StringArrayVar(&d.capAdd, "cap-add", nil, "")
	set.StringArrayVar(&d.capDrop, "cap-drop", nil, "")
	set.StringArrayVarP(&d.env, "env", "e", nil, "")
	set.StringVarP(&d.user, "user", "u", "", "")
	set.StringVarP(&d.workdir, "workdir", "w", "", "")
	set.StringVar(&d.stopSignal, "stop-signal", "", "")
	set.BoolVar(&d.readOnly, "read-only", false, "")
	set.BoolVar(&d.init, "init", false, "")
	return set
}

// parseFlags reads the annotation as docker's command line would, without
// expanding anything. A flag that is not on the list is refused by name, and so is
// one that grants unless annotations are trusted. No fault holds a value, which may
// be a secret.
func parseFlags(pod *v1.Pod, node Node) (dockerFlags, field.ErrorList) {
	var out dockerFlags
	text := pod.Annotations[flagsAnnotation]
	if strings.TrimSpace(text) == "" {
		return out, nil
	}
	f, at := &faults{}, field.NewPath("metadata", "annotations").Key(flagsAnnotation)
	words, err := shellwords.Parse(text)
	if err != nil {
		f.invalid(at, "not a list of flags: quotes or brackets in it do not end")
		return out, f.list
	}
	values := texts{}
	set := out.flagSet(&values)
	if err := set.Parse(words); err != nil {
		f.invalid(at, "%s; the flags honoured here are %s", flagProblem(err), flagNames(set))
		return out, f.list
	}
	if set.NArg() > 0 {
		f.invalid(at, "a word of it is neither a flag nor the value of one")
	}
	out.read(f, at, values)
	out.capabilities(f, at, pod, node)
	if !node.TrustAnnotations {
		out.restrict(f, at, set)
	}
	return out, f.list
}

// restrict refuses flags that grant, by name.
func (d *dockerFlags) restrict(f *faults, at *field.Path, set *pflag.FlagSet) {
	const trust = "is honoured only where the operator sets TrustedAnnotationFlags to true"
	for _, name := range grantingFlags {
		if set.Changed(name) {
			f.forbid(at, "--%s %s; use securityContext in its place", name, trust)
		}
	}
	for _, limit := range d.ulimits {
		if !slices.Contains(harmlessUlimits, limit.Name) {
			f.forbid(at, "--ulimit of %s %s; without that it takes %s", limit.Name, trust, strings.Join(harmlessUlimits, ", "))
		}
	}
}

// flagProblem names a flag and never its value.
func flagProblem(err error) string {
	var (
		unknown *pflag.NotExistError
		value   *pflag.InvalidValueError
		missing *pflag.ValueRequiredError
	)
	switch {
	case errors.As(err, &unknown):
		return fmt.Sprintf("unknown flag %.40s", unknown.GetSpecifiedName())
	case errors.As(err, &value):
		return "--" + value.GetFlag().Name + " has a value that is not of its kind"
	case errors.As(err, &missing):
		return fmt.Sprintf("%.40s has no value", missing.GetSpecifiedName())
	}
	return "not a list of flags"
}

// flagNames lists the flags that are honoured.
func flagNames(set *pflag.FlagSet) string {
	var names []string
	set.VisitAll(func(f *pflag.Flag) { names = append(names, "--"+f.Name) })
	return strings.Join(names, ", ")
}

// read takes over sizes, numbers and limits.
func (d *dockerFlags) read(f *faults, at *field.Path, t texts) {
	if t.ipc != "" && !slices.Contains([]string{"host", "private", "shareable"}, t.ipc) {
		f.invalid(at, "--ipc: the containers of a pod share one IPC namespace")
	}
	for _, size := range []struct {
		name, text string
		into       *int64
	}{{"--shm-size", t.shm, &d.shmBytes}, {"--memory", t.memory, &d.memory}} {
		if size.text == "" {
			continue
		}
		n, err := units.RAMInBytes(size.text)
		if err != nil || n <= 0 {
			f.invalid(at, "%s is not a size", size.name)
		}
		*size.into = n
	}
	if t.cpus != "" {
		quantity, err := parseCPUs(t.cpus)
		if err != nil {
			f.invalid(at, "--cpus is not a number of CPUs")
		}
		d.nanoCPUs = quantity
	}
	for _, text := range t.ulimits {
		limit, err := units.ParseUlimit(text)
		if err != nil {
			f.invalid(at, "--ulimit is not NAME=SOFT:HARD with numbers that fit together")
			continue
		}
		d.ulimits = append(d.ulimits, engine.Ulimit{Name: limit.Name, Soft: limit.Soft, Hard: limit.Hard})
	}
	for _, variable := range d.env {
		if name, _, found := strings.Cut(variable, "="); !found || name == "" {
			f.invalid(at, "--env takes NAME=VALUE")
		}
	}
}

// capabilities refuses those that a pod cannot have here.
func (d *dockerFlags) capabilities(f *faults, at *field.Path, pod *v1.Pod, node Node) {
	for _, name := range d.capAdd {
		if name := capability(v1.Capability(name)); name != "ALL" && !slices.Contains(node.capabilities(pod), name) {
			f.forbid(at, "--cap-add names a capability that is not available on this node")
		}
	}
}

// ShmBytes is how large a pod's annotation, or this node's default, makes /dev/shm; 0 if
// neither says anything.
func ShmBytes(pod *v1.Pod, node Node) (int64, error) {
	flags, problems := parseFlags(pod, node)
	return cmp.Or(flags.shmBytes, node.Defaults.ShmBytes), Refusal(problems)
}

// apply adds the flags to a container's spec. What the pod's own fields say
// wins.
func (d dockerFlags) apply(spec *engine.Spec, pod *v1.Pod, node Node) {
	r := &spec.Resources
	r.MemoryBytes = cmp.Or(r.MemoryBytes, d.memory)
	r.NanoCPUs = cmp.Or(r.NanoCPUs, d.nanoCPUs)
	r.PidsLimit = cmp.Or(r.PidsLimit, d.pidsLimit)
	r.Ulimits = append(r.Ulimits, d.ulimits...)
	spec.User = cmp.Or(spec.User, d.user)
	spec.WorkingDir = cmp.Or(spec.WorkingDir, d.workdir)
	spec.StopSignal = cmp.Or(spec.StopSignal, d.stopSignal)
	spec.ReadonlyRootfs = spec.ReadonlyRootfs || d.readOnly
	spec.Init = spec.Init || d.init
	spec.Env = append(slices.Clone(d.env), spec.Env...)
	asked := &v1.Capabilities{}
	for _, name := range d.capAdd {
		asked.Add = append(asked.Add, v1.Capability(name))
	}
	for _, name := range d.capDrop {
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
