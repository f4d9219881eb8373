package podspec

import (
	v1 "k8s.io/api/core/v1"
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
	wholePod{f}.resources(pod, node)
	f.dns(pod)
	f.podSecurity(pod, node)
	checkRuntimeClass(f, pod, node)
	checkAmended(f, pod, node)
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
