package main

import (
	"encoding/json"
	"testing"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/interlink"
)

// container is the status of one that runs.
func container(id string, restarts int32) v1.ContainerStatus {
	return v1.ContainerStatus{Name: "main", ContainerID: id, RestartCount: restarts,
		State: v1.ContainerState{Running: &v1.ContainerStateRunning{}}}
}

func TestRunningContainers(t *testing.T) {
	status := func(uid string, containers ...v1.ContainerStatus) interlink.PodStatus {
		return interlink.PodStatus{UID: uid, Containers: containers}
	}
	ended := container("docker://b", 0)
	ended.State = v1.ContainerState{Terminated: &v1.ContainerStateTerminated{}}
	a := status("a", container("docker://a", 0))
	tests := []struct {
		name   string
		answer []interlink.PodStatus
		fails  bool
	}{
		{"both run", []interlink.PodStatus{a, status("b", container("docker://b", 0))}, false},
		{"one restarted and runs", []interlink.PodStatus{a, status("b", container("docker://b", 1))}, false},
		{"one ended", []interlink.PodStatus{a, status("b", ended)}, true},
		{"one without an id", []interlink.PodStatus{a, status("b", container("", 0))}, true},
		{"one without a container", []interlink.PodStatus{a, status("b")}, true},
		{"one is not listed", []interlink.PodStatus{a}, true},
		{"one is listed twice", []interlink.PodStatus{a, a}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := runningContainers(tt.answer, 2)
			if (err != nil) != tt.fails {
				t.Fatalf("runningContainers = %v, %v, want failure %v", got, err, tt.fails)
			}
			if !tt.fails && (got["a"].ContainerID != "docker://a" || got["b"].ContainerID != "docker://b") {
				t.Errorf("runningContainers = %v", got)
			}
		})
	}
}

func TestSameContainers(t *testing.T) {
	before := map[string]v1.ContainerStatus{"a": container("docker://a", 0), "b": container("docker://b", 0)}
	tests := []struct {
		name  string
		b     v1.ContainerStatus
		fails bool
	}{
		{"the same", container("docker://b", 0), false},
		{"another one", container("docker://c", 0), true},
		{"the same but restarted", container("docker://b", 1), true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			after := map[string]v1.ContainerStatus{"a": before["a"], "b": tt.b}
			if err := sameContainers(before, after); (err != nil) != tt.fails {
				t.Errorf("sameContainers = %v, want failure %v", err, tt.fails)
			}
		})
	}
	if err := sameContainers(before, map[string]v1.ContainerStatus{"a": before["a"]}); err == nil {
		t.Error("a pod that is missing was not noticed")
	}
}

func TestStatusBody(t *testing.T) {
	b := &bench{signals: &signals{dir: "/nowhere"}}
	pods := podsOf([]*sample{{pod: b.newPod("image", "")}, {pod: b.newPod("image", "")}})
	body, err := statusBody(pods)
	if err != nil {
		t.Fatal(err)
	}
	var asked []*v1.Pod
	if err := json.Unmarshal(body, &asked); err != nil {
		t.Fatal(err)
	}
	if len(asked) != len(pods) {
		t.Fatalf("%d pods are asked for, want %d", len(asked), len(pods))
	}
	for i, pod := range pods {
		if asked[i].UID != pod.UID || asked[i].Name != pod.Name || asked[i].Spec.Containers[0].Image != "image" {
			t.Errorf("asked for %s %s, want %s %s", asked[i].Name, asked[i].UID, pod.Name, pod.UID)
		}
	}
}
