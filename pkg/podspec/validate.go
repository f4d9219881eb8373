package podspec

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/containerd/errdefs"
	"github.com/google/uuid"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/probes"
)

// invalid is a refusal that names the field.
func invalid(field, format string, args ...any) error {
	return fmt.Errorf("%s: %s: %w", field, fmt.Sprintf(format, args...), errdefs.ErrInvalidArgument)
}

// Validate refuses what cannot be run on this node, by field, before anything is
// made. Volumes are pkg/volumes' and devices pkg/gpu's. The error is
// ErrInvalidArgument.
func Validate(pod *v1.Pod, node Node) error {
	if err := validatePod(pod, node); err != nil {
		return err
	}
	if err := validateSecurity(pod, node); err != nil {
		return err
	}
	_, err := parseFlags(pod, node)
	return err
}

// ValidateIdentity refuses a pod whose names are not what Kubernetes allows;
// they become paths and container names.
func ValidateIdentity(pod *v1.Pod) error {
	if pod.UID == "" {
		return invalid("metadata.uid", "is empty")
	}
	if err := ValidateUID(string(pod.UID)); err != nil {
		return err
	}
	if problems := validation.IsDNS1123Label(pod.Namespace); len(problems) > 0 {
		return invalid("metadata.namespace", "%q: %s", pod.Namespace, problems[0])
	}
	if problems := validation.IsDNS1123Subdomain(pod.Name); len(problems) > 0 {
		return invalid("metadata.name", "%q: %s", pod.Name, problems[0])
	}
	return nil
}

// ValidateUID accepts a UUID as Kubernetes writes it, in lower case.
func ValidateUID(uid string) error {
	if len(uid) != 36 || uuid.Validate(uid) != nil || strings.ToLower(uid) != uid {
		return invalid("metadata.uid", "%.80q is not a lower-case UUID", uid)
	}
	return nil
}

// ValidateContainerName accepts a DNS label.
func ValidateContainerName(name string) error {
	if problems := validation.IsDNS1123Label(name); len(problems) > 0 {
		return invalid("container name", "%.80q: %s", name, problems[0])
	}
	return nil
}

// validatePod refuses what no node of this kind runs.
func validatePod(pod *v1.Pod, node Node) error {
	if err := ValidateIdentity(pod); err != nil {
		return err
	}
	if len(pod.Spec.Containers) == 0 {
		return invalid("spec.containers", "the pod has none")
	}
	switch pod.Spec.RestartPolicy {
	case "", v1.RestartPolicyAlways, v1.RestartPolicyOnFailure, v1.RestartPolicyNever:
	default:
		return invalid("spec.restartPolicy", "%q is none of Always, OnFailure, Never", pod.Spec.RestartPolicy)
	}
	if err := refuseFields(pod); err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, c := range namedContainers(pod) {
		if seen[c.Name] {
			return invalid(c.field+".name", "%q is used twice", c.Name)
		}
		seen[c.Name] = true
		if err := validateContainer(c.Container, c.field); err != nil {
			return err
		}
		if err := validateSizes(pod, c, node); err != nil {
			return err
		}
	}
	return nil
}

// namedContainer is a container and how messages name it.
type namedContainer struct {
	*v1.Container
	field string
}

// namedContainers lists a pod's containers in the order of its spec.
func namedContainers(pod *v1.Pod) []namedContainer {
	var out []namedContainer
	for i := range pod.Spec.InitContainers {
		out = append(out, namedContainer{&pod.Spec.InitContainers[i], fmt.Sprintf("spec.initContainers[%d]", i)})
	}
	for i := range pod.Spec.Containers {
		out = append(out, namedContainer{&pod.Spec.Containers[i], fmt.Sprintf("spec.containers[%d]", i)})
	}
	return out
}

func validateContainer(c *v1.Container, field string) error {
	if err := ValidateContainerName(c.Name); err != nil {
		return fmt.Errorf("%s: %w", field, err)
	}
	if strings.TrimSpace(c.Image) == "" || c.Image != strings.TrimSpace(c.Image) {
		return invalid(field+".image", "%q is not an image", c.Image)
	}
	for i, variable := range c.Env {
		// An engine splits at the first "=", and the kernel ends a string at NUL.
		if variable.Name == "" || strings.ContainsAny(variable.Name, "=\x00") {
			return invalid(fmt.Sprintf("%s.env[%d].name", field, i), "must not be empty or contain '='")
		}
		if strings.ContainsRune(variable.Value, 0) {
			return invalid(fmt.Sprintf("%s.env[%d].value", field, i), "contains a NUL byte")
		}
	}
	for i, argument := range slices.Concat(c.Command, c.Args) {
		if strings.ContainsRune(argument, 0) {
			name := "command"
			if i >= len(c.Command) {
				name, i = "args", i-len(c.Command)
			}
			return invalid(fmt.Sprintf("%s.%s[%d]", field, name, i), "contains a NUL byte")
		}
	}
	if c.WorkingDir != "" && !strings.HasPrefix(c.WorkingDir, "/") {
		return invalid(field+".workingDir", "%q is not an absolute path", c.WorkingDir)
	}
	for _, list := range []v1.ResourceList{c.Resources.Limits, c.Resources.Requests} {
		for _, name := range slices.Sorted(maps.Keys(list)) {
			quantity := list[name]
			if quantity.Sign() < 0 {
				return invalid(field+".resources", "%s is negative", name)
			}
			if strings.HasPrefix(string(name), v1.ResourceHugePagesPrefix) {
				return invalid(field+".resources", "%s: huge pages are not supported by this node", name)
			}
		}
	}
	if memory, limited := c.Resources.Limits[v1.ResourceMemory]; limited && !memory.IsZero() && memory.Value() < minMemory {
		return invalid(field+".resources.limits.memory", "%s is less than the 6Mi that a container needs", memory.String())
	}
	return probes.Validate(c, field)
}

// validateSizes refuses variables and arguments that no process can be given. A
// few bytes of references can stand for gigabytes.
func validateSizes(pod *v1.Pod, c namedContainer, node Node) error {
	const rule = "longer than Linux allows: 128 KiB for one variable or argument, 6 MiB for all of a container"
	env := NewEnvironment(pod, c.Container, node, "")
	if env.long != "" {
		return invalid(c.field+".env", "%q makes them "+rule, env.long)
	}
	size := env.size
	for _, list := range []struct {
		name  string
		words []string
	}{{"command", c.Command}, {"args", c.Args}} {
		for i, word := range list.words {
			long := len(expand(word, env.lookup)) + len("\x00")
			if size += long; long > maxArgument || size > maxArguments {
				return invalid(fmt.Sprintf("%s.%s[%d]", c.field, list.name, i), rule)
			}
		}
	}
	return nil
}

// minMemory is the engine's own lower bound for a memory limit.
const minMemory = 6 << 20
