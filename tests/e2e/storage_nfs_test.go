//go:build e2e

package e2e_test

import (
	"errors"
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/preflight"
)

// nobodyServes is an address for documentation, RFC 5737.
const nobodyServes = "192.0.2.7"

func nfsVolume(server string) v1.VolumeSource {
	return v1.VolumeSource{NFS: &v1.NFSVolumeSource{Server: server, Path: "/data"}}
}

// kernelHasNFS asks the kernel that also runs the sandboxes.
func kernelHasNFS(t *testing.T) bool {
	t.Helper()
	fd, err := unix.Fsopen("nfs", unix.FSOPEN_CLOEXEC)
	if err == nil {
		unix.Close(fd)
		return true
	}
	if !errors.Is(err, unix.ENODEV) {
		t.Fatal(err)
	}
	return false
}

// storageNFSRefused: without the operator's word nothing is mounted from anywhere, for a
// volume of the pod as for one of a claim.
func storageNFSRefused(t *testing.T, d *daemon) {
	text := d.refusedCreate(t, withVolume(newPod(shell("c", "true")), nfsVolume(nobodyServes), "/vol"))
	if !strings.Contains(text, "NFSServers") || !strings.Contains(text, nobodyServes) {
		t.Errorf("refusal = %q", text)
	}
	request := newCreate(withVolume(newPod(shell("c", "true")), claimOf("c", false), "/vol"))
	bind(&request, "c", v1.PersistentVolumeSource{NFS: &v1.NFSVolumeSource{Server: nobodyServes, Path: "/data"}}, nil)
	if code, text := d.must(t, http.MethodPost, "/create", encode(t, request)); code != http.StatusBadRequest || !strings.Contains(text, "pv-c") || !strings.Contains(text, "NFSServers") {
		t.Errorf("a claim was answered with %d: %s", code, text)
	}
}

// TestNFS with a server that the operator has named. A kernel without an NFS client refuses
// the pod by name, and check says so; with one the pod waits for the server, and says that.
func TestNFS(t *testing.T) {
	t.Parallel()
	d := ownDaemon(t, 1, map[string]any{"NFSServers": []string{nobodyServes, "127.0.0.0/8"}})
	pod := withVolume(newPod(shell("c", untilStopped)), nfsVolume(nobodyServes), "/vol")
	has := kernelHasNFS(t)
	if has {
		p := d.run(t, pod)
		p.waitFor("it waits for the server", func(s podStatus) bool {
			w := s.Container("c").State.Waiting
			return w != nil && strings.Contains(w.Message, nobodyServes)
		})
		p.delete(0)
		p.waitGone()
	} else if text := d.refusedCreate(t, pod); !strings.Contains(text, "kernel has no NFS client") || !strings.Contains(text, "module nfs") {
		t.Errorf("refusal = %q", text)
	}
	// The sandbox's own addresses are no server's, whatever the operator allows.
	text := d.refusedCreate(t, withVolume(newPod(shell("c", "true")), nfsVolume("127.0.0.1"), "/vol"))
	if !strings.Contains(text, "not the address of another host") {
		t.Errorf("refusal of loopback = %q", text)
	}
	report, _ := d.checked(t)
	want := map[bool]preflight.Verdict{true: preflight.OK, false: preflight.Fail}[has]
	found := false
	for _, line := range report.Lines {
		found = found || line.Name == "nfs" && line.Verdict == want && strings.Contains(line.Found, nobodyServes)
	}
	if !found {
		t.Errorf("check says %+v, want a line nfs with %s", report.Lines, want)
	}
}

// storageNFSInside: the init asks the kernel itself, and tells what it says.
func storageNFSInside(t *testing.T, d *daemon) {
	p := d.run(t, newPod(shell("c", untilStopped)))
	p.waitRunning()
	p.sandbox()
	key := strings.ReplaceAll(strings.TrimSuffix(p.box, "_dind"), "-", "")
	init := initapi.NewClient(filepath.Join(d.data(), "sandboxes", key[:min(len(key), 16)]))
	// Without a wait for the server where there is a client.
	err := init.MountNFS(t.Context(), initapi.NFS{Name: "none", Server: nobodyServes, Path: "/data", Options: "vers=4.2,soft,timeo=10,retrans=0"})
	if err == nil || !kernelHasNFS(t) && !strings.Contains(err.Error(), "kernel has no NFS client") {
		t.Errorf("MountNFS() = %v", err)
	}
	err = init.MountNFS(t.Context(), initapi.NFS{Name: "own", Server: "localhost", Path: "/data"})
	if err == nil || !strings.Contains(err.Error(), "has no address of another host") {
		t.Errorf("MountNFS() from the sandbox itself = %v", err)
	}
}
