//go:build e2e

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/tests/kit"
	v1 "k8s.io/api/core/v1"
)

// crash is one death of docker-sd, and the life in which it comes.
type crash struct {
	// at is the fault point, with #n for its n-th hit. first is one at which the run
	// before dies, for points of the recovery itself.
	at, first string
	life      func(*crashRun)
	// pool is how many sandboxes wait warm and standby how many without an engine,
	// holders how many networks are made ahead, gpus how many the host has and the pod
	// asks for.
	pool, standby, holders, gpus int
	sharing                      string
}

func (c crash) String() string {
	name := fmt.Sprintf("%s pool=%d", c.at, c.pool)
	if c.first != "" {
		name += " first=" + c.first
	}
	if c.standby > 0 {
		name += fmt.Sprintf(" standby=%d", c.standby)
	}
	if c.holders > 0 {
		name += fmt.Sprintf(" holders=%d", c.holders)
	}
	if c.gpus > 0 {
		name += fmt.Sprintf(" gpus=%d", c.gpus)
	}
	return name
}

// TestCrash ends docker-sd by SIGKILL at every fault point and starts it again:
// every pod must end where it should, once, and leave nothing.
func TestCrash(t *testing.T) {
	t.Parallel()
	for _, at := range crashes {
		t.Run(at.String(), func(t *testing.T) {
			t.Parallel()
			c := newCrashRun(t, at)
			at.life(c)
			c.checkNothingLeft()
		})
	}
}

// crashRun is one crash under way.
type crashRun struct {
	crash
	t *testing.T
	d *daemon
	// mark is where the log of the armed run begins.
	mark int
	// before is how many pods there were before the one that the crash is about.
	before int
	// volumes that sandboxes had.
	volumes map[string]bool
}

func newCrashRun(t *testing.T, at crash) *crashRun {
	t.Helper()
	binary, err := suite.faulty()
	if err != nil {
		t.Fatal(err)
	}
	// What the engine makes for a call that docker-sd did not live to see answered is
	// found by a sweep, a minute later at most.
	settings := map[string]any{"AVAILABLEDINDS": at.pool, "StandbySandboxes": at.standby, "NetworkHolders": at.holders, "StrayGracePeriod": "1s"}
	if at.sharing != "" {
		settings["ImageSharing"] = at.sharing
	}
	if at.gpus > 0 {
		settings = newFakeGPUs(t, at.gpus).settings(settings)
	}
	c := &crashRun{crash: at, t: t, d: prepareDaemon(t, settings), volumes: map[string]bool{}}
	c.d.Binary = binary
	if err := os.Mkdir(c.temporary(), 0o700); err != nil {
		t.Fatal(err)
	}
	return c
}

// temporary is the daemon's TMPDIR; it is on the file system of its data.
func (c *crashRun) temporary() string { return filepath.Join(c.d.dir, "tmp") }

// arm starts a daemon that will die at the point; it may do so at once.
func (c *crashRun) arm(point string) {
	c.t.Helper()
	c.mark = len(c.d.log.String())
	c.d.Env = []string{"TMPDIR=" + c.temporary(), "DOCKER_SD_FAULT=" + point}
	if err := c.d.start(); err != nil && c.d.Running() {
		c.t.Fatal(err)
	}
}

// died waits for the end of the armed daemon, which must be the wanted one.
func (c *crashRun) died(point string) {
	c.t.Helper()
	select {
	case <-c.d.Ended():
	case <-time.After(runLimit):
		c.t.Fatalf("docker-sd never came to %s", point)
	}
	c.d.Close()
	name, _, _ := strings.Cut(point, "#")
	if !strings.Contains(c.d.log.String()[c.mark:], "fault: ending at "+name+"\n") {
		c.t.Fatalf("docker-sd ended before %s: %v", point, c.d.Err())
	}
	c.noteVolumes()
}

// resume starts the daemon again, as a supervisor does.
func (c *crashRun) resume() {
	c.t.Helper()
	if c.first != "" {
		c.arm(c.at)
		c.died(c.at)
	}
	c.d.Env = []string{"TMPDIR=" + c.temporary()}
	if err := c.d.start(); err != nil {
		c.t.Fatal(err)
	}
	c.d.waitReady(c.t)
	c.noteVolumes()
}

// point is where the first armed daemon dies.
func (c *crashRun) point() string {
	if c.first != "" {
		return c.first
	}
	return c.at
}

// ask calls the armed daemon, which may die before it has answered.
func (c *crashRun) ask(path string, body []byte) (code int, text string, answered bool) {
	c.t.Helper()
	code, text, err := c.d.call(c.t.Context(), http.MethodPost, path, body)
	if err != nil {
		c.died(c.point())
		return 0, "", false
	}
	return code, text, true
}

// create asks for a pod. When the answer is lost, the pod has no JobID yet.
func (c *crashRun) create(pod *v1.Pod) *podRun {
	c.t.Helper()
	code, text, answered := c.ask("/create", encode(c.t, newCreate(pod)))
	if answered {
		return c.d.created(c.t, pod, code, text)
	}
	p := &podRun{t: c.t, d: c.d, pod: pod}
	c.t.Cleanup(p.clean)
	return p
}

// find polls for a pod after the crash. One whose create was not answered has no
// JobID; it must not be called lost, and is created once more, as the Virtual
// Kubelet does after a start of its own (protocol 1.4).
func (c *crashRun) find(p *podRun) {
	c.t.Helper()
	answer := c.d.poll(c.t, p.pod)
	if len(answer) != 1 {
		c.t.Fatalf("status of the pod has %d entries", len(answer))
	}
	if err := kit.CheckStatus(p.pod, answer[0]); err != nil {
		c.t.Fatalf("status breaks a rule of the Virtual Kubelet: %v", err)
	}
	for _, s := range answer[0].Containers {
		if end := s.State.Terminated; end != nil && end.Reason == "ContainerStatusUnknown" {
			c.t.Fatalf("the pod is called lost: %+v", end)
		}
	}
	code, text := c.d.must(c.t, http.MethodPost, "/create", encode(c.t, newCreate(p.pod)))
	jid := decodeCreate(c.t, p.pod, code, text).PodJID
	for _, known := range []string{p.jid, answer[0].JID} {
		if known != "" && known != jid {
			c.t.Errorf("JID %s and %s for one pod", known, jid)
		}
	}
	p.jid = jid
	p.annotate()
}

// gone waits for the end of a deleted pod, for which nobody asks again.
func (c *crashRun) gone(p *podRun) {
	c.t.Helper()
	p.waitGone()
	c.refused(p)
	// Nor does the next run forget that it was deleted.
	if err := c.d.stop(); err != nil {
		c.t.Fatal(err)
	}
	if err := c.d.start(); err != nil {
		c.t.Fatal(err)
	}
	c.refused(p)
}

// refused creates a pod that was deleted (protocol 1.4).
func (c *crashRun) refused(p *podRun) {
	c.t.Helper()
	if code, text := c.d.must(c.t, http.MethodPost, "/create", encode(c.t, newCreate(p.pod))); code != http.StatusConflict {
		c.t.Fatalf("create of a deleted pod was answered with %d: %s", code, text)
	}
}

// folder of the host in which the pod's containers leave their marks.
func (c *crashRun) folder() string { return filepath.Join(c.d.hostPath(), "marks") }

// marks counts how often something has run.
func (c *crashRun) marks(name string) int {
	c.t.Helper()
	text, err := os.ReadFile(filepath.Join(c.folder(), name))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		c.t.Fatal(err)
	}
	return strings.Count(string(text), "\n")
}

func (c *crashRun) checkMarks(want map[string]int) {
	c.t.Helper()
	for name, n := range want {
		if got := c.marks(name); got != n {
			c.t.Errorf("%s ran %d times, want %d", name, got, n)
		}
	}
}

func (c *crashRun) noteVolumes() {
	c.t.Helper()
	containers, err := suite.engine.containers(c.t.Context(), c.d.label())
	if err != nil {
		c.t.Fatal(err)
	}
	for _, name := range volumes(containers) {
		c.volumes[name] = true
	}
}

// checkNothingLeft allows a full pool and what docker-sd keeps on purpose.
func (c *crashRun) checkNothingLeft() {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), runLimit)
	defer cancel()
	if err := c.d.idle(ctx); err != nil {
		c.t.Error(err)
	}
	containers, err := suite.engine.containers(ctx, c.d.label())
	if err != nil {
		c.t.Fatal(err)
	}
	kept := volumes(containers)
	for name := range c.volumes {
		if there, err := suite.engine.hasVolume(ctx, name); err != nil || there && !slices.Contains(kept, name) {
			c.t.Errorf("volume %s is left, %v", name, err)
		}
	}
	c.checkFiles()
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		c.t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, c.d.dir+"/") {
			c.t.Errorf("mount %s is left", line)
		}
	}
	if c.gpus > 0 {
		c.d.runSoon(c.t, func() *v1.Pod { return newPod(withGPUs(shell("c", "true"), c.gpus)) }).waitPhase(v1.PodSucceeded)
	}
}

// checkFiles looks for files that no longer have a purpose.
func (c *crashRun) checkFiles() {
	c.t.Helper()
	for dir, allowed := range map[string]int{c.temporary(): 0, "records": 0, "archive": 0, "held": 0, "tombstones": 1 + c.before, "sandboxes": c.pool + c.standby} {
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(c.d.data(), dir)
		}
		if entries := c.list(dir); len(entries) > allowed {
			c.t.Errorf("%d files in %s, more than %d: %v", len(entries), dir, allowed, entries)
		}
	}
	// A file that is being written is there for a moment under another name.
	var others []string
	eventually(c.t, runLimit, "no file is left", func() bool {
		others = nil
		for _, entry := range c.list(c.d.data()) {
			if !slices.Contains([]string{"admin.sock", "archive", "held", "image-access.json", "images.json", "init", "layers", "lock", "records", "sandboxes", "tombstones", "usage.json"}, entry.Name()) {
				others = append(others, entry.Name())
			}
		}
		return len(others) == 0
	}, func() string { return strings.Join(others, ", ") })
}

func (c *crashRun) list(dir string) []os.DirEntry {
	c.t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		c.t.Fatal(err)
	}
	return entries
}
