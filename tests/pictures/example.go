package main

import (
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/admin"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
)

// example is a node at work.
type example struct{}

func before(d time.Duration) time.Time { return time.Now().Add(-d) }

// uidOf makes a uid of a digit.
func uidOf(digit string) types.UID {
	return types.UID("3f0c6a2" + digit + "-8d1e-4b7a-9c55-0d0b7d9f6c1" + digit)
}

func (example) Info() admin.Info {
	return admin.Info{Version: "v1.0.0", Instance: "gpu-node-1", Engine: "28.5.2", Address: "127.0.0.1:4000", MaxPods: 110,
		Started: before(72 * time.Hour), Troubles: []string{}}
}

func (example) Troubles() []string { return nil }

func running(name, image string, ago time.Duration) podstatus.ContainerView {
	return podstatus.ContainerView{Name: name, Image: image, State: "running", Ready: true, Started: before(ago)}
}

func (example) Pods() admin.Pods {
	code := int32(137)
	sandbox := func(v podstatus.View, n string) podstatus.View {
		v.Sandbox, v.IP, v.Booted = "5b0f1c"+n+"2-4c1d-4f3e-8a9b-7e2d3c4b5a6"+n+"_dind", "10.213.0."+n+"2", v.Created
		return v
	}
	return admin.Pods{Pods: []podstatus.View{
		sandbox(podstatus.View{UID: uidOf("1"), Namespace: "genomics", Name: "align-reads-7k2xq", Phase: podstatus.PhaseRunning, Created: before(42 * time.Minute),
			Containers: []podstatus.ContainerView{running("bwa", "biocontainers/bwa:0.7.17", 41*time.Minute), running("upload", "amazon/aws-cli:2.17", 41*time.Minute)}}, "1"),
		sandbox(podstatus.View{UID: uidOf("2"), Namespace: "physics", Name: "fit-b9d4c", Phase: podstatus.PhaseRunning, Created: before(3 * time.Hour),
			Containers: []podstatus.ContainerView{{Name: "fit", Image: "rootproject/root:6.32", State: "running", Ready: true, Restarts: 2, Started: before(time.Hour)}}}, "2"),
		sandbox(podstatus.View{UID: uidOf("3"), Namespace: "vision", Name: "train-resnet-0", Phase: podstatus.PhaseRunning, Created: before(26 * time.Hour),
			Containers: []podstatus.ContainerView{running("train", "pytorch/pytorch:2.4.0-cuda12.4", 26*time.Hour)}}, "3"),
		sandbox(podstatus.View{UID: uidOf("4"), Namespace: "vision", Name: "train-resnet-1", Phase: podstatus.PhasePending, Created: before(9 * time.Second),
			Containers: []podstatus.ContainerView{{Name: "train", Image: "registry.example.org/vision:dev", State: "waiting", Reason: "ImagePullBackOff",
				Message: "back-off 10s: pull image registry.example.org/vision:dev: not found"}}}, "4"),
		{UID: uidOf("5"), Namespace: "weather", Name: "forecast-28a1", Phase: podstatus.PhaseFailed, Created: before(5 * time.Hour),
			Containers: []podstatus.ContainerView{{Name: "model", Image: "weather/wrf:4.6", State: "terminated", Reason: "OOMKilled", ExitCode: &code}}},
	}}
}

func (e example) Pool() admin.Pool {
	out := admin.Pool{Wanted: 3, Warm: 2, Booting: 1, Standby: 2, Claimed: 4}
	for _, p := range e.Pods().Pods {
		if p.Sandbox != "" {
			out.Sandboxes = append(out.Sandboxes, admin.Sandbox{Name: p.Sandbox, State: admin.SandboxClaimed, IP: p.IP, Booted: p.Booted,
				PodUID: p.UID, Namespace: p.Namespace, PodName: p.Name})
		}
	}
	return admin.Pool{Wanted: out.Wanted, Warm: out.Warm, Booting: out.Booting, Standby: out.Standby, Claimed: out.Claimed,
		Sandboxes: append([]admin.Sandbox{
			{Name: "0a4de9c1-6c1d-4f3e-8a9b-7e2d3c4b5a61_dind", State: admin.SandboxWarm, IP: "10.213.0.82", Booted: before(11 * time.Minute)},
			{Name: "91c0b7e5-2f4a-4d06-b3c8-1f7a6e5d4c3b_dind", State: admin.SandboxWarm, IP: "10.213.0.90", Booted: before(8 * time.Second)},
		}, out.Sandboxes...)}
}

func (example) GPUs() gpu.Snapshot {
	device := func(uuid, bus string, state gpu.State, holder types.UID, reasons ...string) gpu.DeviceState {
		d := gpu.DeviceState{Device: gpu.Device{UUID: "GPU-" + uuid, Name: "NVIDIA H100 80GB HBM3", MemoryBytes: 80 << 30, PCIBusID: "0000:" + bus + ":00.0"},
			State: state, Offered: gpu.ResourceGPU, Reasons: reasons}
		if holder != "" {
			d.Holders = []string{string(holder)}
		}
		return d
	}
	return gpu.Snapshot{Totals: map[string]int64{gpu.ResourceGPU: 3}, Free: map[string]int64{gpu.ResourceGPU: 1}, Devices: []gpu.DeviceState{
		device("6f1e2d3c-0a1b-4c5d-8e9f-102938475610", "1b", gpu.StateHeld, uidOf("3")),
		device("6f1e2d3c-0a1b-4c5d-8e9f-102938475611", "43", gpu.StateHeld, uidOf("4")),
		device("6f1e2d3c-0a1b-4c5d-8e9f-102938475612", "89", gpu.StateFree, ""),
		device("6f1e2d3c-0a1b-4c5d-8e9f-102938475613", "c3", gpu.StateUnhealthy, "", "XID 79: the GPU has fallen off the bus"),
	}}
}

func (e example) Events() admin.Events {
	uids := map[string]types.UID{}
	for _, p := range e.Pods().Pods {
		uids[p.Name] = p.UID
	}
	event := func(ago time.Duration, what, namespace, pod, container, detail string) admin.Event {
		return admin.Event{Time: before(ago), What: what, PodUID: uids[pod], Namespace: namespace, PodName: pod, Container: container, Detail: detail}
	}
	return admin.Events{Events: []admin.Event{
		event(4*time.Second, "pull", "vision", "train-resnet-1", "", "image registry.example.org/vision:dev"),
		event(8*time.Second, "placed", "vision", "train-resnet-1", "", "sandbox 5b0f1c42-4c1d-4f3e-8a9b-7e2d3c4b5a64_dind"),
		event(9*time.Second, "created", "vision", "train-resnet-1", "", ""),
		event(40*time.Minute, "started", "genomics", "align-reads-7k2xq", "bwa", "attempt 0"),
		event(time.Hour, "restarting", "physics", "fit-b9d4c", "fit", "delay 10s, exitCode 134, reason Error"),
		{Time: before(4 * time.Hour), What: "sandbox swept", Sandbox: "d2f4a6c8-1b3d-4e5f-8a7b-9c0d1e2f3a4b_dind"},
		event(5*time.Hour, "ended", "weather", "forecast-28a1", "model", "exitCode 137, reason OOMKilled"),
	}}
}
