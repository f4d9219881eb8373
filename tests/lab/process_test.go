package main

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestRoleOf(t *testing.T) {
	const f = folder("/lab")
	id := strings.Repeat("a1", 32)
	other := strings.Repeat("b2", 32)
	tests := []struct {
		name string
		p    process
		want role
	}{
		{"dockerd", process{argv: []string{"/usr/sbin/dockerd", "--host=unix:///lab/docker.sock"}}, roleDaemon},
		{"dockerd with separate values", process{argv: []string{"dockerd", "--exec-root", "/lab/exec"}}, roleDaemon},
		{"dockerd of a longer folder", process{argv: []string{"dockerd", "--exec-root=/laboratory/exec"}}, roleNone},
		{"another dockerd", process{argv: []string{"dockerd", "--exec-root=/var/tmp/lab/exec"}}, roleNone},
		{"dockerd without arguments", process{argv: []string{"dockerd"}}, roleNone},
		{"containerd", process{argv: []string{"containerd", "--config", "/lab/exec/containerd/containerd.toml"}}, roleRuntime},
		{"the system's containerd", process{argv: []string{"/usr/bin/containerd"}}, roleNone},
		{"shim", process{argv: []string{"/usr/bin/containerd-shim-runc-v2", "-address", "/lab/exec/containerd/containerd.sock"}}, roleRuntime},
		{"shim of the system's containerd", process{argv: []string{"containerd-shim-runc-v2", "-id", id, "-address", "/run/containerd/containerd.sock"}}, roleRuntime},
		{"shim of another engine", process{argv: []string{"containerd-shim-runc-v2", "-id", other}}, roleNone},
		{"reader of the log", process{argv: []string{"tail", "-f", "/lab/dockerd.log"}}, roleNone},
		{"in a container", process{argv: []string{"sleep"}, cgroups: "4:memory:/docker/" + id + "\n0::/\n"}, rolePayload},
		{"in a container of a sandbox", process{argv: []string{"sleep"}, cgroups: "4:memory:/docker/" + id + "/docker/" + other + "\n"}, rolePayload},
		{"in another engine's container", process{argv: []string{"sleep"}, cgroups: "4:memory:/docker/" + other + "\n"}, roleNone},
		{"started by a run", process{argv: []string{"sleep"}, environ: []string{"A=b", "DOCKER_SD_LAB_RUN=/lab"}}, rolePayload},
		{"started by a run on another folder", process{argv: []string{"sleep"}, environ: []string{"DOCKER_SD_LAB_RUN=/lab2"}}, roleNone},
		{"zombie", process{cgroups: "4:memory:/docker/" + id}, roleNone},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := roleOf(tt.p, f, map[string]bool{id: true}); got != tt.want {
				t.Errorf("role %d, want %d", got, tt.want)
			}
		})
	}
}

func TestDaemonPID(t *testing.T) {
	const f = folder("/lab")
	processes := map[int]process{
		10: {pid: 10, argv: []string{"dockerd", "--pidfile=/lab/dockerd.pid"}},
		11: {pid: 11, argv: []string{"vim"}},
		12: {pid: 12, argv: []string{"dockerd", "--pidfile=/var/run/docker.pid"}},
	}
	tests := []struct {
		name, pidfile string
		want          bool
	}{
		{"running", "10", true},
		{"running, with a line end", "10\n", true},
		{"number went to another program", "11", false},
		{"number went to another engine", "12", false},
		{"ended", "13", false},
		{"empty", "", false},
		{"damaged", "1x", false},
		{"negative", "-10", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, got := daemonPID([]byte(tt.pidfile), f, func(pid int) process { return processes[pid] })
			if got != tt.want {
				t.Errorf("running %t, want %t", got, tt.want)
			}
		})
	}
}

func TestReadProcess(t *testing.T) {
	t.Run("this one", func(t *testing.T) {
		p := readProcess("/proc", os.Getpid())
		if diff := cmp.Diff(os.Args, p.argv); diff != "" {
			t.Errorf("arguments (-want +got):\n%s", diff)
		}
		if p.cgroups == "" {
			t.Error("no cgroups")
		}
	})
	t.Run("none", func(t *testing.T) {
		if p := readProcess(t.TempDir(), 1); p.argv != nil {
			t.Errorf("arguments %q of a process that is not there", p.argv)
		}
	})
}

func TestAncestry(t *testing.T) {
	got, err := ancestry("/proc", os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if !got[os.Getpid()] || !got[os.Getppid()] {
		t.Errorf("ancestry %v lacks %d or its parent %d", got, os.Getpid(), os.Getppid())
	}
}

func TestMountsBelow(t *testing.T) {
	table := `47 27 254:0 /lab/data /lab/data rw shared:3 - ext4 /dev/vda rw
48 27 254:0 / /laboratory rw - ext4 /dev/vda rw
53 47 0:48 / /lab/data/overlay2/x/merged rw - overlay overlay rw
54 27 0:4 net:[4026531833] /lab/exec/a\040b rw - nsfs nsfs rw
55 27 0:5 / /lab rw - tmpfs tmpfs rw
`
	want := []string{"/lab/data", "/lab/data/overlay2/x/merged", "/lab/exec/a b"}
	if diff := cmp.Diff(want, mountsBelow(table, "/lab")); diff != "" {
		t.Errorf("mounts (-want +got):\n%s", diff)
	}
}
