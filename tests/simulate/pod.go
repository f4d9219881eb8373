package main

import (
	_ "embed"
	"encoding/json"
	"fmt"
	"sync"

	"github.com/google/uuid"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/interlink"
	"github.com/intertwin-eu/interlink-docker-plugin/tests/kit"
)

// recordedCreate is the body of a create as interLink's API server sent it.
//
//go:embed testdata/create.json
var recordedCreate []byte

// pod is one as its virtual kubelet knows it.
type pod struct {
	uid  string
	name string
	// create, pending, running and remove are bodies of calls, encoded beforehand;
	// asKubelet is the create of a virtual kubelet.
	create, asKubelet, pending, running, remove []byte

	mu sync.Mutex
	// jid is set when the create was answered, ran when a poll has said that it
	// runs, deleted when its delete is about to be sent.
	jid     string
	ran     bool
	deleted bool
}

// newPod is the recorded one under a name and UID of its own.
func newPod(node string) (*pod, error) {
	var request interlink.CreateRequest
	if err := json.Unmarshal(recordedCreate, &request); err != nil {
		return nil, fmt.Errorf("read the recorded create: %w", err)
	}
	p := &pod{uid: uuid.NewString()}
	p.name = "pod-" + p.uid[:8]
	request.Pod.Name, request.Pod.UID, request.Pod.Spec.NodeName = p.name, types.UID(p.uid), node
	var problems [5]error
	p.create, problems[0] = json.Marshal(request)
	data := request.Containers[0]
	p.asKubelet, problems[4] = json.Marshal(kit.PodCreate{Pod: &request.Pod, ConfigMaps: data.ConfigMaps, Secrets: data.Secrets, ProjectedVolumeMaps: data.Projected})
	p.pending, problems[1] = json.Marshal([]v1.Pod{request.Pod})
	request.Pod.Annotations = map[string]string{"JobID": p.uid}
	request.Pod.Status.Phase = v1.PodRunning
	p.running, problems[2] = json.Marshal([]v1.Pod{request.Pod})
	p.remove, problems[3] = json.Marshal(request.Pod)
	for _, err := range problems {
		if err != nil {
			return nil, fmt.Errorf("encode a pod: %w", err)
		}
	}
	return p, nil
}

// created takes the answer to the create.
func (p *pod) created(text []byte) error {
	var answer interlink.CreateAnswer
	if err := json.Unmarshal(text, &answer); err != nil {
		return fmt.Errorf("answer to the create of %s: %w", p.name, err)
	}
	if answer.PodUID != p.uid || answer.PodJID == "" {
		return fmt.Errorf("the create of pod %s was answered with %s", p.uid, text)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.jid = answer.PodJID
	return nil
}

// poll is the body of the next poll.
func (p *pod) poll() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.jid == "" || !p.ran {
		return p.pending
	}
	return p.running
}

// isRunning says whether a poll has said that the pod runs.
func (p *pod) isRunning() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ran
}

// deleting says that what polls say of the pod is of no interest any more.
func (p *pod) deleting() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.deleted = true
}

// polled takes the answer to a poll and refuses what would be wrong in the
// cluster: a pod that is left out or misnamed, one that ends, and one that
// does not run any more.
func (p *pod) polled(text []byte) error {
	var answer []interlink.PodStatus
	if err := json.Unmarshal(text, &answer); err != nil {
		return fmt.Errorf("status of %s: %w", p.name, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.deleted {
		return nil
	}
	if len(answer) != 1 || answer[0].UID != p.uid || answer[0].Name != p.name || len(answer[0].Containers) != 1 {
		return fmt.Errorf("the status of pod %s is %s", p.uid, text)
	}
	state := answer[0].Containers[0].State
	if state.Terminated != nil || p.ran && state.Running == nil || answer[0].Containers[0].RestartCount > 0 {
		return fmt.Errorf("pod %s does not stay as it is, its status is %s", p.uid, text)
	}
	p.ran = state.Running != nil
	return nil
}
