//go:build e2e

package e2e_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
)

// hostEngine is a Docker engine of a test's own, which it may restart. It touches
// no other one: no bridge, no packet rules, a containerd namespace of its own.
type hostEngine struct {
	dir    string
	reader *engineReader
	cmd    *exec.Cmd
	exited chan struct{}
}

func (e *hostEngine) host() string { return "unix://" + filepath.Join(e.dir, "s") }

// newHostEngine starts one with the test images in it.
func newHostEngine(t *testing.T, args ...string) *hostEngine {
	t.Helper()
	dir, err := os.MkdirTemp("/tmp", "he")
	if err != nil {
		t.Fatal(err)
	}
	e := &hostEngine{dir: dir}
	t.Cleanup(func() {
		if err := errors.Join(e.stop(), e.unmount(), os.RemoveAll(dir)); err != nil {
			t.Errorf("end the test's own engine: %v", err)
		}
	})
	if e.reader, err = newEngineReader(e.host()); err != nil {
		t.Fatal(err)
	}
	e.start(t, args...)
	e.reader.copyImages(t, suite.images.sandbox, suite.images.busybox)
	return e
}

// start begins it again, as systemd does, where it ends at its start: one of 20.10 may panic
// in libnetwork when it finds networks of before.
func (e *hostEngine) start(t *testing.T, args ...string) {
	t.Helper()
	for tries := 1; !e.begin(t, args...); tries++ {
		if tries == 3 || !strings.Contains(e.log(), "reservePools") {
			t.Fatalf("the engine ended: %s", e.log())
		}
	}
}

// begin says whether the engine answers; it has ended otherwise.
func (e *hostEngine) begin(t *testing.T, args ...string) (answers bool) {
	t.Helper()
	program, err := exec.LookPath("dockerd")
	if err != nil {
		program = "/usr/sbin/dockerd"
	}
	config := filepath.Join(e.dir, "daemon.json")
	if err := os.WriteFile(config, []byte("{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	log, err := os.OpenFile(filepath.Join(e.dir, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	namespace := "docker-sd-" + filepath.Base(e.dir)
	cmd := exec.Command(program, append([]string{"--config-file=" + config, "--data-root=" + filepath.Join(e.dir, "data"),
		"--exec-root=" + filepath.Join(e.dir, "exec"), "--pidfile=" + filepath.Join(e.dir, "pid"), "--host=" + e.host(),
		"--containerd-namespace=" + namespace, "--containerd-plugins-namespace=" + namespace + "-plugins",
		"--bridge=none", "--iptables=false", "--ip6tables=false", "--ip-forward=false"}, args...)...)
	cmd.Env = append(os.Environ(), "PATH="+os.Getenv("PATH")+":/usr/local/sbin:/usr/sbin:/sbin")
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGTERM}
	began, exited := make(chan error), make(chan struct{})
	go func() {
		// The end of the thread that started it would be taken for the end of the tests.
		runtime.LockOSThread()
		defer close(exited)
		err := cmd.Start()
		began <- err
		if err == nil {
			_ = cmd.Wait()
		}
	}()
	if err := <-began; err != nil {
		t.Fatalf("start %s: %v", program, err)
	}
	e.cmd, e.exited = cmd, exited
	eventually(t, runLimit, "the engine answers", func() bool {
		select {
		case <-exited:
			return true
		default:
		}
		answers = e.reader.ping(t.Context()) == nil
		return answers
	}, e.log)
	return answers
}

func (e *hostEngine) log() string {
	text, err := os.ReadFile(filepath.Join(e.dir, "log"))
	if err != nil {
		return err.Error()
	}
	return string(text[max(len(text)-4000, 0):])
}

// stop ends the engine, and with it its containers unless they are to be restored.
func (e *hostEngine) stop() error {
	if e.cmd == nil {
		return nil
	}
	if err := e.cmd.Process.Signal(syscall.SIGTERM); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	e.reader.http.CloseIdleConnections()
	select {
	case <-e.exited:
		return nil
	case <-time.After(runLimit):
		return errors.Join(fmt.Errorf("the engine did not end: %s", e.log()), e.cmd.Process.Kill())
	}
}

func (e *hostEngine) restart(t *testing.T, args ...string) {
	t.Helper()
	if err := e.stop(); err != nil {
		t.Fatal(err)
	}
	e.start(t, args...)
}

// copyImages takes images from the engine of the other tests.
func (e *engineReader) copyImages(t *testing.T, names ...string) {
	t.Helper()
	save, err := suite.engine.http.Get("http://engine/images/get?" + url.Values{"names": names}.Encode())
	if err != nil {
		t.Fatal(err)
	}
	defer save.Body.Close()
	load, err := e.http.Post("http://engine/images/load?quiet=1", "application/x-tar", save.Body)
	if err != nil {
		t.Fatal(err)
	}
	defer load.Body.Close()
	text, err := io.ReadAll(load.Body)
	if err != nil || save.StatusCode != http.StatusOK || load.StatusCode != http.StatusOK || strings.Contains(string(text), `"error"`) {
		t.Fatalf("copy the images: %d, %d %s, %v", save.StatusCode, load.StatusCode, text, err)
	}
}

// unmount detaches what an engine leaves mounted below its folder.
func (e *hostEngine) unmount() error {
	mounts, err := mountinfo.GetMounts(mountinfo.PrefixFilter(e.dir))
	problems := []error{err}
	for i := len(mounts) - 1; i >= 0; i-- {
		if err := unix.Unmount(mounts[i].Mountpoint, unix.MNT_DETACH); err != nil && !errors.Is(err, unix.EINVAL) {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

// TestHostEngineRestarts: with live-restore pods do not notice; without it they
// end with a reason or run again, as their restart policy says.
func TestHostEngineRestarts(t *testing.T) {
	t.Parallel()
	t.Run("networks of their own", func(t *testing.T) {
		t.Parallel()
		testHostEngineRestarts(t, 1, 0, "10.214.0.0/22")
	})
	t.Run("networks made ahead", func(t *testing.T) {
		t.Parallel()
		testHostEngineRestarts(t, 0, 2, "10.214.4.0/22")
	})
}

// testHostEngineRestarts has pods in warm sandboxes, or in those of held networks.
func testHostEngineRestarts(t *testing.T, pool, holders int, subnet string) {
	e := newHostEngine(t, liveRestore)
	d := prepareDaemon(t, map[string]any{"AVAILABLEDINDS": pool, "NetworkHolders": holders, "DockerNetworkSubnet": []string{subnet},
		"StrayGracePeriod": "1s"})
	d.Env, d.engine = append(d.Env, "DOCKER_HOST="+e.host()), e.reader
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	d.endsSwept(t)
	o := &outages{d: d, e: e, pool: pool, holders: holders}
	o.always, o.onFailure, o.never = o.run(t, v1.RestartPolicyAlways), o.run(t, v1.RestartPolicyOnFailure), o.run(t, v1.RestartPolicyNever)
	o.isNotNoticed(t)
	for what, args := range map[string][]string{"the engine ended all containers at its start": nil, "and at its end": nil} {
		t.Log("without live-restore: " + what)
		o.endsAll(t, args)
	}
	if n := countLines(d.log, "trying again"); n > 40 {
		t.Errorf("%d lines on four outages:\n%s", n, d.log.About("trying again"))
	}
}

const liveRestore = "--live-restore"

// outages are of a host's engine under three pods, one of each restart policy.
type outages struct {
	d                        *daemon
	e                        *hostEngine
	pool, holders            int
	always, onFailure, never *podRun
}

// run starts a pod that counts its runs in a volume.
func (o *outages) run(t *testing.T, policy v1.RestartPolicy) *podRun {
	t.Helper()
	pod := withVolume(newPod(shell("c", "echo run >>/vol/runs; echo $(wc -l </vol/runs); "+untilStopped)), emptyDir(), "/vol")
	pod.Spec.RestartPolicy = policy
	if o.holders == 0 {
		return o.d.run(t, pod)
	}
	o.d.waitHolders(t, o.holders)
	p := o.d.run(t, pod)
	p.waitRunning()
	o.d.holderOf(t, p.sandbox())
	return p
}

// isNotNoticed stops the engine with live-restore and starts it again.
func (o *outages) isNotNoticed(t *testing.T) {
	t.Helper()
	before := map[*podRun]v1.ContainerStatus{}
	for _, p := range []*podRun{o.always, o.onFailure, o.never} {
		before[p] = p.waitRunning().Container("c")
	}
	o.d.waitMadeAhead(t, o.pool, o.holders)
	t.Log("with live-restore")
	if err := o.e.stop(); err != nil {
		t.Fatal(err)
	}
	for p, was := range before {
		if got := p.status().Container("c"); got.State.Running == nil || got.ContainerID != was.ContainerID {
			t.Errorf("while the engine is away: %+v", got)
		}
		p.waitLog("c", "1\n")
	}
	waits := o.d.run(t, newPod(shell("c", "echo ran")))
	o.e.start(t, liveRestore)
	if got := waits.output(); got != "ran\n" {
		t.Errorf("log of a pod from the outage = %q", got)
	}
	waits.delete(0)
	waits.waitGone()
	for p, was := range before {
		got := p.status().Container("c")
		if got.State.Running == nil || got.ContainerID != was.ContainerID || got.RestartCount != 0 {
			t.Errorf("after the engine was away: %+v", got)
		}
	}
}

// endsAll restarts the engine without live-restore, which ends all containers.
func (o *outages) endsAll(t *testing.T, args []string) {
	t.Helper()
	runs := o.always.status().Container("c").RestartCount
	// An engine 20.10 that ends while it makes or removes a network panics at its
	// next start, and at each after that.
	o.d.waitMadeAhead(t, o.pool, o.holders)
	o.e.restart(t, args...)
	for _, p := range []*podRun{o.always, o.onFailure} {
		got := p.waitFor("the pod runs again", func(s podStatus) bool {
			return s.Container("c").State.Running != nil && s.Container("c").RestartCount > runs
		}).Container("c")
		if end := got.LastTerminationState.Terminated; end == nil || end.ExitCode != 137 || !strings.Contains(end.Message, "sandbox stopped") {
			t.Errorf("it ended before with %+v", end)
		}
		p.waitLog("c", fmt.Sprintf("%d\n", runs+2)) // its volume is the same
	}
	if end := o.never.waitPhase(v1.PodFailed).Container("c").State.Terminated; end.ExitCode != 137 || !strings.Contains(end.Message, "sandbox stopped") {
		t.Errorf("Never: end = %+v", end)
	}
	// Docker-sd may have found its sandbox while the engine was still ending all.
	eventually(t, runLimit, "the log of the pod that ended", func() bool {
		code, text := o.d.must(t, http.MethodGet, "/getLogs", logBody(t, o.never.pod, "c", logOptions{}))
		return code == http.StatusOK && text == "1\n"
	}, o.d.log.String)
	o.d.waitMadeAhead(t, o.pool, o.holders)
	o.never.delete(0)
	o.never.waitGone()
	o.never = o.run(t, v1.RestartPolicyNever)
	o.never.waitRunning()
}

// waitMadeAhead waits until docker-sd has nothing to make for the pods to come.
func (d *daemon) waitMadeAhead(t *testing.T, pool, holders int) {
	t.Helper()
	d.waitWarmBeside(t, pool)
	d.waitHolders(t, holders)
}
