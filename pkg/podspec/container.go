package podspec

import (
	v1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
)

// Container turns one container of a validated pod into what the sandbox's engine
// makes, with the flags of the pod's annotation applied. pidNamespace is what
// shareProcessNamespace joins, as in docker run --pid. Image, mounts and devices are
// the caller's, and so is User once the image is known. The error is
// ErrInvalidArgument and is of flags that Validate refuses too.
func Container(pod *v1.Pod, c *v1.Container, env Environment, node Node, pidNamespace string) (engine.Spec, error) {
	flags, problems := parseFlags(pod, node)
	if err := Refusal(problems); err != nil {
		return engine.Spec{}, err
	}
	spec := containerSpec(pod, c, env, node, pidNamespace)
	flags.apply(&spec, pod, node)
	return spec, nil
}

// containerSpec is Container without the flags.
func containerSpec(pod *v1.Pod, c *v1.Container, env Environment, node Node, pidNamespace string) engine.Spec {
	spec := engine.Spec{
		Name:       ContainerName(pod, c.Name),
		Hostname:   Hostname(pod),
		Entrypoint: env.Expand(c.Command),
		Cmd:        env.Expand(c.Args),
		Env:        env.list(),
		WorkingDir: c.WorkingDir,
		Stdin:      c.Stdin,
		StdinOnce:  c.StdinOnce,
		TTY:        c.TTY,
		Labels: map[string]string{
			engine.LabelPodUID:    string(pod.UID),
			engine.LabelContainer: c.Name,
			// What tools that look at containers of Kubernetes know.
			"io.kubernetes.pod.name":       pod.Name,
			"io.kubernetes.pod.namespace":  pod.Namespace,
			"io.kubernetes.pod.uid":        string(pod.UID),
			"io.kubernetes.container.name": c.Name,
		},
		// The sandbox is the pod: its network and its IPC namespace, with /dev/shm,
		// are what Kubernetes says that the containers of a pod share.
		Network:   "host",
		IPCMode:   "host",
		Resources: containerResources(pod, c),
		Log:       node.Log,
	}
	if c.Lifecycle != nil && c.Lifecycle.StopSignal != nil {
		spec.StopSignal = string(*c.Lifecycle.StopSignal)
	}
	switch {
	case pod.Spec.HostPID:
		spec.PIDMode = "host"
	case ptr.Deref(pod.Spec.ShareProcessNamespace, false):
		spec.PIDMode = pidNamespace
	}
	if node.CPUs > 0 {
		spec.Resources.NanoCPUs = min(spec.Resources.NanoCPUs, int64(node.CPUs)*1e9)
	}
	secure(&spec, pod, c, node)
	resolver(&spec, pod)
	return spec
}
