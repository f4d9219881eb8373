package main

import (
	"context"
	"io"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/admin"
)

// within lets the owner into the pods of the example.
type within struct {
	admin.Inside
	example
}

// Describe tells of the first pod in full, and of others what the list has.
func (w within) Describe(uid types.UID) (admin.Description, error) {
	out := admin.Description{QOSClass: v1.PodQOSBurstable, RestartPolicy: v1.RestartPolicyNever, Labels: map[string]string{"app": "align", "run": "7k2xq"}}
	for _, p := range w.Pods().Pods {
		if p.UID == uid {
			out.Pod = p
		}
	}
	for _, kind := range []v1.PodConditionType{v1.PodReadyToStartContainers, v1.PodInitialized, v1.PodReady, v1.ContainersReady, v1.PodScheduled} {
		out.Conditions = append(out.Conditions, v1.PodCondition{Type: kind, Status: v1.ConditionTrue})
	}
	for _, c := range out.Pod.Containers {
		out.Containers = append(out.Containers, admin.DescribedContainer{Status: v1.ContainerStatus{RestartCount: c.Restarts},
			Spec: v1.Container{Name: c.Name, Image: c.Image, Command: []string{"bwa", "mem", "-t", "8"}, Env: []v1.EnvVar{{Name: "REFERENCE"}},
				Resources:    v1.ResourceRequirements{Limits: v1.ResourceList{v1.ResourceCPU: resource.MustParse("4"), v1.ResourceMemory: resource.MustParse("16Gi")}},
				VolumeMounts: []v1.VolumeMount{{Name: "reads", MountPath: "/reads", ReadOnly: true}}}})
	}
	at := func(ms int, what, container, detail string, took int) admin.Moment {
		return admin.Moment{Time: out.Pod.Created.Add(time.Duration(ms) * time.Millisecond), What: what, Container: container, Detail: detail, Took: time.Duration(took) * time.Millisecond}
	}
	out.Timeline = []admin.Moment{
		at(0, "admitted", "", "", 0), at(0, "record", "", "", 2), at(3, "images", "", "", 1240), at(4, "pull", "", "image biocontainers/bwa:0.7.17", 1190),
		at(5, "claim", "", "", 1), at(8, "volumes", "", "", 31), at(1248, "create container", "bwa", "", 42), at(1291, "start container", "bwa", "", 58),
		at(1349, "started", "bwa", "", 0), at(1350, "create container", "upload", "", 38), at(1389, "start container", "upload", "", 51),
		at(1441, "started", "upload", "", 0), at(1810, "ready", "bwa", "", 0), at(1811, "ready", "upload", "", 0)}
	for _, e := range w.Events().Events {
		if e.PodName == out.Pod.Name {
			out.Events = append(out.Events, e)
		}
	}
	return out, nil
}

// Log is what a container of the example has written.
func (within) Log(_ context.Context, q admin.LogQuery, w io.Writer) error {
	if q.Container != "bwa" {
		return nil
	}
	_, err := io.WriteString(w, strings.Join([]string{
		"[M::bwa_idx_load_from_disk] read 0 ALT contigs", "[M::process] read 532094 sequences (80000102 bp)...",
		"[M::mem_pestat] # candidate unique pairs for (FF, FR, RF, RR): (14, 223108, 9, 11)",
		"[M::mem_pestat] mean and std.dev: (371.52, 98.17)", "[M::mem_process_seqs] Processed 532094 reads in 214.301 CPU sec, 53.7 real sec",
		"[M::process] read 531870 sequences (80000031 bp)...", "[M::mem_process_seqs] Processed 531870 reads in 211.098 CPU sec, 52.9 real sec"}, "\n"))
	return err
}
