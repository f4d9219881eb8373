package main

import (
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// statusPod is one pod of a /status request as an interLink server sent it.
//
//go:embed testdata/status-pod.json
var statusPod []byte

// recordVersion is the version of docker-sd's record files that is written here.
const recordVersion = 1

// record and envelope are docker-sd's files of its pods. They are repeated here
// because a daemon that shall know 500 pods on a small machine cannot be given
// 500 sandboxes: these pods have ended, and their sandboxes are gone.
type record struct {
	Pod     *v1.Pod              `json:"pod"`
	Data    struct{}             `json:"data"`
	JID     string               `json:"jid"`
	Sandbox string               `json:"sandbox"`
	Placed  bool                 `json:"placed"`
	Since   time.Time            `json:"since"`
	Final   []v1.ContainerStatus `json:"final"`
}

type envelope struct {
	Version  int             `json:"version"`
	Checksum string          `json:"checksum"`
	Record   json.RawMessage `json:"record"`
}

// recordedPods makes n pods like the one that was recorded, with names and UIDs
// of their own.
func recordedPods(n int) ([]*v1.Pod, error) {
	var out []*v1.Pod
	for i := range n {
		pod := &v1.Pod{}
		if err := json.Unmarshal(statusPod, pod); err != nil {
			return nil, fmt.Errorf("read the recorded pod: %w", err)
		}
		pod.Name, pod.UID = fmt.Sprintf("recorded-%d", i), types.UID(uuid.NewString())
		out = append(out, pod)
	}
	return out, nil
}

// encodeRecord is the file of a pod that ended well.
func encodeRecord(pod *v1.Pod, now time.Time) ([]byte, error) {
	sandbox := uuid.NewString() + "_dind"
	r := record{Pod: pod, JID: sandbox, Sandbox: sandbox, Placed: true, Since: now}
	for _, c := range pod.Spec.Containers {
		r.Final = append(r.Final, v1.ContainerStatus{Name: c.Name, Image: c.Image, Started: new(bool),
			ContainerID: "docker://" + hex.EncodeToString(make([]byte, 32)),
			State: v1.ContainerState{Terminated: &v1.ContainerStateTerminated{Reason: "Completed",
				StartedAt: metav1.NewTime(now), FinishedAt: metav1.NewTime(now)}}})
	}
	body, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode a record: %w", err)
	}
	sum := sha256.Sum256(body)
	return json.Marshal(envelope{Version: recordVersion, Checksum: hex.EncodeToString(sum[:]), Record: body})
}

// writeRecords puts pods into the data folder of a docker-sd that does not run.
func writeRecords(data string, pods []*v1.Pod) error {
	dir := filepath.Join(data, "records")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("make the folder of records: %w", err)
	}
	for _, pod := range pods {
		file, err := encodeRecord(pod, time.Now())
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(dir, string(pod.UID)+".json"), file, 0o600); err != nil {
			return fmt.Errorf("write a record: %w", err)
		}
	}
	return nil
}
