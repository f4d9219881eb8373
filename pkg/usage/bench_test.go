package usage

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/types"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/cgroup"
)

// BenchmarkLook is one look at 100 pods with one container each, in real control groups,
// which need root. It reports the share of a core that this takes, in percent: less than
// 0.2 is wanted.
func BenchmarkLook(b *testing.B) {
	tree, err := realGroups(b)
	if err != nil {
		b.Skipf("no control groups can be made here: %v", err)
	}
	m := &Meter{config: Config{Groups: tree, Proc: "/proc"}, pods: map[string]*metered{}}
	var subjects []Subject
	eye := m.sampler()
	pid := inNetwork(b)
	for i := range 100 {
		uid := fmt.Sprintf("%064x", i)
		subjects = append(subjects, Subject{UID: types.UID(uid), Sandbox: uid, Containers: []Run{{Name: "c", ID: "c"}}})
		m.Began(uid)
		p, found := find(tree, uid)
		if !found {
			b.Fatal("a sandbox is not found")
		}
		p.pid = pid
		eye.seen[uid] = &watched{sandbox: uid, place: p}
	}
	before := cpuTime(b)
	for b.Loop() {
		eye.look(subjects)
	}
	used := cpuTime(b) - before
	if got := m.Report().Pods; len(got) != 100 || len(got[0].Containers) != 1 {
		b.Fatalf("%d pods", len(got))
	}
	b.ReportMetric(float64(used)/float64(b.N)/float64(period)*100, "%core")
	b.ReportMetric(float64(used)/float64(b.N)/100, "cpu-ns/pod")
}

// inNetwork starts a process in a network of its own, as a sandbox has.
func inNetwork(b *testing.B) int {
	cmd := exec.Command("sleep", "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET}
	if err := cmd.Start(); err != nil {
		b.Skipf("no network can be made here: %v", err)
	}
	b.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	return cmd.Process.Pid
}

// realGroups makes the groups of 100 sandboxes.
func realGroups(b *testing.B) (cgroup.Tree, error) {
	parent := fmt.Sprintf("/docker-sd-usage-bench-%d", os.Getpid())
	tree, err := cgroup.FindTree("1", parent)
	if err != nil {
		tree, err = cgroup.FindTree("2", parent)
	}
	if err != nil {
		return tree, err
	}
	var made []string
	b.Cleanup(func() {
		for _, dir := range slices.Backward(made) {
			if err := unix.Rmdir(dir); err != nil && !errors.Is(err, unix.ENOENT) {
				b.Errorf("remove %s: %v", dir, err)
			}
		}
	})
	roots := slices.Compact([]string{tree.CPU, tree.Memory})
	for i := range 100 {
		for _, root := range roots {
			dir := root
			for _, part := range []string{"", fmt.Sprintf("%064x", i), "sandbox", "docker", "c"} {
				dir = filepath.Join(dir, part)
				if err := os.Mkdir(dir, 0o755); errors.Is(err, os.ErrExist) {
					continue
				} else if err != nil {
					return tree, err
				}
				made = append(made, dir)
				if tree.V2 {
					_ = os.WriteFile(dir+"/cgroup.subtree_control", []byte("+memory"), 0)
				}
			}
		}
	}
	return tree, nil
}

// cpuTime is what this process has used, in nanoseconds: on a machine that does other work
// as well it says more than the time that passed.
func cpuTime(b *testing.B) int64 {
	b.Helper()
	var use unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &use); err != nil {
		b.Fatal(err)
	}
	return use.Utime.Nano() + use.Stime.Nano()
}
