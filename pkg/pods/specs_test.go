package pods_test

import (
	"encoding/json"
	"fmt"
	"sync"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pods"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes"
)

var pod struct {
	mu   sync.Mutex
	made int
}

// newPod has one container, main, and a UID of its own; its command runs until SIGTERM.
func newPod(edits ...func(*v1.Pod)) *v1.Pod {
	pod.mu.Lock()
	pod.made++
	made := pod.made
	pod.mu.Unlock()
	out := &v1.Pod{}
	out.Name, out.Namespace = fmt.Sprintf("web-%d", made), "team"
	out.UID = types.UID(fmt.Sprintf("6ba7b810-9dad-11d1-80b4-%012d", made))
	out.Spec.RestartPolicy = v1.RestartPolicyNever
	grace := int64(10)
	out.Spec.TerminationGracePeriodSeconds = &grace
	out.Spec.Containers = []v1.Container{container("main", "serve")}
	for _, edit := range edits {
		edit(out)
	}
	return out
}

func container(name string, command ...string) v1.Container {
	return v1.Container{Name: name, Image: imageName, Command: command}
}

// running has the main container run a command.
func running(command ...string) func(*v1.Pod) {
	return func(p *v1.Pod) { p.Spec.Containers[0].Command = command }
}

func restarting(policy v1.RestartPolicy) func(*v1.Pod) {
	return func(p *v1.Pod) { p.Spec.RestartPolicy = policy }
}

func withMain(edit func(*v1.Container)) func(*v1.Pod) {
	return func(p *v1.Pod) { edit(&p.Spec.Containers[0]) }
}

func withInit(containers ...v1.Container) func(*v1.Pod) {
	return func(p *v1.Pod) { p.Spec.InitContainers = containers }
}

func withGrace(seconds int64) func(*v1.Pod) {
	return func(p *v1.Pod) { p.Spec.TerminationGracePeriodSeconds = &seconds }
}

// devices of which every pod gets one.
type devices struct {
	mu   sync.Mutex
	held map[string]bool
}

var _ pods.Accelerators = &devices{}

func (d *devices) set(uid string, held bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.held[uid] = held
}

func (d *devices) holds(uid string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.held[uid]
}

func (d *devices) Reserve(pod *v1.Pod) (json.RawMessage, error) {
	d.set(string(pod.UID), true)
	return json.RawMessage(`"one"`), nil
}

func (d *devices) Claim(uid string, _ json.RawMessage) error {
	d.set(uid, true)
	return nil
}

func (d *devices) ClaimUnknown(uid string) { d.set(uid, true) }
func (d *devices) Release(uid string)      { d.set(uid, false) }

func (d *devices) Inject(held json.RawMessage, _ string, _ []string, spec *engine.Spec) error {
	spec.Env = append(spec.Env, "DEVICE="+string(held))
	return nil
}

func (d *devices) Health(string, string) ([]v1.ResourceStatus, string) { return nil, "" }

// volumesOf a create, by the config maps that come with it.
func volumesOf(maps map[string]v1.ConfigMap) volumes.Data { return volumes.Data{ConfigMaps: maps} }
