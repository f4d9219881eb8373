//go:build e2e

package e2e_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// TestKubeSettings has a daemon with other settings: claims lead to /cvmfs, all
// flags of the annotation are honoured, logs are short, and the allowed host
// path is a mount that shares its events.
func TestKubeSettings(t *testing.T) {
	t.Parallel()
	made := makeCVMFS(t)
	d := prepareDaemon(t, map[string]any{"AVAILABLEDINDS": 1, "PersistentVolumeClaimsToCVMFS": true, "TrustedAnnotationFlags": true, "ExpandEnvironmentValues": true,
		"HostNetworkIsSandbox": true, "ContainerLogMaxSize": "1Mi", "ContainerLogMaxFiles": 2})
	shareMounts(t, d.hostPath())
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]func(*testing.T, *daemon){
		"claim falls back":        func(t *testing.T, d *daemon) { claimFallsBack(t, d, made) },
		"flags are trusted":       flagsAreTrusted,
		"values are expanded":     valuesAreExpanded,
		"hostNetwork is a pod's":  hostNetworkIsAPods,
		"logs are bounded":        logsAreBounded,
		"mounts of the host show": mountsShow,
	} {
		t.Run(name, func(t *testing.T) { t.Parallel(); test(t, d) })
	}
}

// valuesAreExpanded where the Virtual Kubelet leaves that to docker-sd.
func valuesAreExpanded(t *testing.T, d *daemon) {
	c := shell("c", `echo "$REFERS $ESCAPED $LATER"`)
	c.Env = []v1.EnvVar{{Name: "LATER", Value: "$(AFTER)"}, {Name: "BASE", Value: "base"}, {Name: "REFERS", Value: "$(BASE)"},
		{Name: "ESCAPED", Value: "$$(BASE)"}, {Name: "AFTER", Value: "x"}}
	if got, want := d.run(t, newPod(c)).output(), "base $(BASE) $(AFTER)\n"; got != want {
		t.Errorf("log = %q, want %q", got, want)
	}
}

// hostNetworkIsAPods: such a pod runs and is no nearer to the host than another.
func hostNetworkIsAPods(t *testing.T, d *daemon) {
	pod := newPod(shell("first", "readlink /proc/self/ns/net"), shell("second", "readlink /proc/self/ns/net"))
	pod.Spec.HostNetwork = true
	p := d.run(t, pod)
	p.waitPhase(v1.PodSucceeded)
	host, err := os.Readlink("/proc/self/ns/net")
	if err != nil {
		t.Fatal(err)
	}
	first, second := strings.TrimSpace(p.logs("first", logOptions{})), strings.TrimSpace(p.logs("second", logOptions{}))
	if !strings.HasPrefix(first, "net:[") || first != second || first == host {
		t.Errorf("the containers are in the networks %q and %q, the host in %q", first, second, host)
	}
}

// makeCVMFS makes /cvmfs where it is not, with a file in it, and says so.
func makeCVMFS(t *testing.T) bool {
	t.Helper()
	err := os.Mkdir("/cvmfs", 0o755)
	if errors.Is(err, fs.ErrExist) {
		return false
	}
	if err != nil {
		t.Fatalf("make /cvmfs, which needs root: %v", err)
	}
	t.Cleanup(func() {
		// Not all that may be in it, only what was made here.
		if err := errors.Join(os.Remove("/cvmfs/made-by-test"), os.Remove("/cvmfs")); err != nil {
			t.Error(err)
		}
	})
	touch(t, "/cvmfs/made-by-test")
	return true
}

func claimFallsBack(t *testing.T, d *daemon, made bool) {
	p := d.run(t, withVolume(newPod(shell("c", "awk '$5==\"/vol\"{print $4}' /proc/self/mountinfo; ls /vol")), claimOf("whatever", true), "/vol"))
	got := p.output()
	if made && got != "/cvmfs\nmade-by-test\n" || got == "" {
		t.Errorf("the claim shows %q", got)
	}
}

// flagsAreTrusted is what an operator allows: more capabilities than a container
// has without them, and another user.
func flagsAreTrusted(t *testing.T, d *daemon) {
	looks := map[string][]sight{"c": {{"id -u", "1234"}, {bounding, "00000000a80435fb"}}}
	pod := lookPod(looks)
	pod.Annotations = map[string]string{flagsKey: "--user 1234 --cap-add NET_ADMIN"}
	d.run(t, pod).checkLooks(looks)
}

// logsAreBounded: what is kept is the end of the log, without a gap.
func logsAreBounded(t *testing.T, d *daemon) {
	const line, lines = 100, 60_000
	p := d.run(t, newPod(shell("c", fmt.Sprintf(`awk 'BEGIN{for(i=1;i<=%d;i++) printf "%%0%dd\n", i}'`, lines, line-1))))
	p.waitPhase(v1.PodSucceeded)
	text := p.logs("c", logOptions{})
	if len(text) < 200<<10 || len(text) > 2<<20 {
		t.Errorf("%d bytes of %d are kept, the bound is 2 MiB", len(text), line*lines)
	}
	kept := strings.Count(text, "\n")
	var want strings.Builder
	for i := lines - kept + 1; i <= lines; i++ {
		fmt.Fprintf(&want, "%0*d\n", line-1, i)
	}
	if text != want.String() {
		t.Errorf("what is kept is not the last %d lines", kept)
	}
}

// shareMounts makes a folder a mount of its own whose events are passed on.
func shareMounts(t *testing.T, dir string) {
	t.Helper()
	err := syscall.Mount(dir, dir, "", syscall.MS_BIND, "")
	if err == nil {
		t.Cleanup(func() {
			if err := syscall.Unmount(dir, syscall.MNT_DETACH); err != nil {
				t.Error(err)
			}
		})
		err = syscall.Mount("", dir, "", syscall.MS_SHARED, "")
	}
	if err != nil {
		t.Fatalf("mount a folder, which needs root: %v", err)
	}
}

// mountsShow: what the host mounts later is seen with HostToContainer, and not
// without.
func mountsShow(t *testing.T, d *daemon) {
	dir := d.hostFolder(t, "propagation")
	if err := os.Mkdir(filepath.Join(dir, "point"), 0o755); err != nil {
		t.Fatal(err)
	}
	wait := "touch /vol/up-$NAME; until test -e /vol/go; do usleep 20000; done; ls /vol/point"
	with, without := shell("with", wait), shell("without", wait)
	with.Env, without.Env = []v1.EnvVar{{Name: "NAME", Value: "with"}}, []v1.EnvVar{{Name: "NAME", Value: "without"}}
	pod := withVolume(newPod(with, without), hostDir(dir), "/vol")
	pod.Spec.Containers[0].VolumeMounts[0].MountPropagation = ptr(v1.MountPropagationHostToContainer)
	pod.Spec.Containers[1].VolumeMounts[0].MountPropagation = ptr(v1.MountPropagationNone)
	p := d.run(t, pod)
	waitFile(t, filepath.Join(dir, "up-with"))
	waitFile(t, filepath.Join(dir, "up-without"))
	point := filepath.Join(dir, "point")
	if err := syscall.Mount("tmpfs", point, "tmpfs", 0, "size=1m"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(point, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	touch(t, filepath.Join(point, "mounted"))
	touch(t, filepath.Join(dir, "go"))
	p.waitPhase(v1.PodSucceeded)
	if got := p.logs("with", logOptions{}); got != "mounted\n" {
		t.Errorf("with HostToContainer the container sees %q", got)
	}
	if got := p.logs("without", logOptions{}); got != "" {
		t.Errorf("without it the container sees %q", got)
	}
}
