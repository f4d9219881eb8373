package podspec

import (
	"strings"

	"github.com/google/uuid"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// Validate finds what cannot be run on this node, by field, before anything is made:
// what no pod may ask for here (fieldRules), and what the Kubernetes API would not have
// let pass, because an older interLink, or a caller that is none, sends that too.
// Volumes are pkg/volumes' and devices pkg/gpu's. Refusal makes an error of it.
func Validate(pod *v1.Pod, node Node) field.ErrorList {
	f := &faults{}
	f.identity(pod)
	f.fields(pod)
	f.pod(pod)
	f.dns(pod)
	f.podSecurity(pod, node)
	seen := map[string]bool{}
	for _, c := range namedContainers(pod) {
		if seen[c.Name] {
			f.invalid(c.at.Child("name"), "%s is used twice", shown(c.Name))
		}
		seen[c.Name] = true
		f.container(pod, node, c)
	}
	f.hostPorts(pod)
	_, problems := parseFlags(pod, node)
	return append(f.list, problems...)
}

// ValidateIdentity refuses a pod whose names are not what Kubernetes allows;
// they become paths and container names.
func ValidateIdentity(pod *v1.Pod) error {
	f := &faults{}
	f.identity(pod)
	return Refusal(f.list)
}

// ValidateUID accepts a UUID as Kubernetes writes it, in lower case.
func ValidateUID(uid string) error {
	f := &faults{}
	f.uid(uid)
	return Refusal(f.list)
}

// ValidateContainerName accepts a DNS label.
func ValidateContainerName(name string) error {
	f := &faults{}
	f.label(field.NewPath("container name"), name)
	return Refusal(f.list)
}

// identity checks UID, namespace and name.
func (f *faults) identity(pod *v1.Pod) {
	metadata := field.NewPath("metadata")
	f.uid(string(pod.UID))
	f.label(metadata.Child("namespace"), pod.Namespace)
	f.domain(metadata.Child("name"), pod.Name)
}

// uid checks that a UID is one as Kubernetes writes it.
func (f *faults) uid(uid string) {
	if len(uid) != 36 || uuid.Validate(uid) != nil || strings.ToLower(uid) != uid {
		f.invalid(field.NewPath("metadata", "uid"), "%s is not a lower-case UUID", shown(uid))
	}
}

// label checks a name that is a part of others, by the rules of DNS.
func (f *faults) label(at *field.Path, value string) {
	if len(validation.IsDNS1123Label(value)) > 0 {
		f.invalid(at, "%s is not a DNS label: lower-case letters, digits and hyphens, at most 63 characters", shown(value))
	}
}

// domain checks a name that may have several labels.
func (f *faults) domain(at *field.Path, value string) {
	if len(validation.IsDNS1123Subdomain(value)) > 0 {
		f.invalid(at, "%s is not a DNS name: lower-case letters, digits, hyphens and dots, at most 253 characters", shown(value))
	}
}

// namedContainer is a container and where it stands in the pod.
type namedContainer struct {
	*v1.Container
	at   *field.Path
	init bool
}

// namedContainers lists a pod's containers in the order of its spec.
func namedContainers(pod *v1.Pod) []namedContainer {
	var out []namedContainer
	spec := field.NewPath("spec")
	for i := range pod.Spec.InitContainers {
		out = append(out, namedContainer{&pod.Spec.InitContainers[i], spec.Child("initContainers").Index(i), true})
	}
	for i := range pod.Spec.Containers {
		out = append(out, namedContainer{&pod.Spec.Containers[i], spec.Child("containers").Index(i), false})
	}
	return out
}
