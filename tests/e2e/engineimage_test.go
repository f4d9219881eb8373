//go:build e2e

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/google/uuid"
	v1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// engineImage is docker-sd and its own engine in one container, as a pod of Kubernetes
// without an engine on its node has them.
type engineImage struct {
	*sidecarRun
	// run is the folder that the container has at /run, in whose place an image may have a link, and
	// shares with others.
	run string
}

// newEngineImage starts the image with a docker-sd that takes nothing from the host.
func newEngineImage(t *testing.T, image string, settings map[string]any) *engineImage {
	t.Helper()
	s := &engineImage{sidecarRun: &sidecarRun{daemon: prepareDaemon(t, settings), t: t, name: "e2e-engine-" + uuid.NewString()[:8]}}
	s.run = filepath.Join(s.dir, "run")
	if err := errors.Join(os.MkdirAll(s.data(), 0o700), os.MkdirAll(s.run, 0o700)); err != nil {
		t.Fatal(err)
	}
	s.post("/containers/create?name="+s.name, map[string]any{
		"Image": image, "Labels": map[string]string{"docker-sd.lab": "engine"}, "Env": []string{"INTERLINKCONFIGPATH=" + s.Config},
		// What a privileged container has, but for a capability that not every machine's root has.
		"HostConfig": map[string]any{"CapAdd": []string{"ALL"}, "CapDrop": []string{"SYS_RESOURCE"},
			"SecurityOpt": []string{"seccomp=unconfined", "apparmor=unconfined"}, "MaskedPaths": []string{}, "ReadonlyPaths": []string{},
			"DeviceCgroupRules": []string{"a *:* rwm"}, "NetworkMode": "none", "Binds": []string{s.dir + ":" + s.dir, s.run + ":/run", s.run + ":/var/run"}},
	})
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the container's log:\n%s", s.output())
		}
		ctx, cancel := context.WithTimeout(context.Background(), runLimit)
		defer cancel()
		if err := suite.engine.removeContainer(ctx, s.name); err != nil {
			t.Error(err)
		}
		s.engine = suite.engine // what the container had is gone with it
	})
	s.start()
	return s
}

// start starts the container and finds the engine in it.
func (s *engineImage) start() {
	s.t.Helper()
	s.post("/containers/"+s.name+"/start", nil)
	socket := func() string { return s.root(initapi.HostRun, initapi.EngineSocket) }
	dial := func() (net.Conn, error) { return net.Dial("unix", socket()) }
	s.engine = &engineReader{dial: dial, http: &http.Client{Timeout: runLimit, Transport: &http.Transport{
		DialContext: func(context.Context, string, string) (net.Conn, error) { return dial() }}}}
	eventually(s.t, runLimit, "the engine in the container answers", func() bool { return s.engine.ping(s.t.Context()) == nil }, s.output)
}

// root is the path on the host of a file in the container.
func (s *engineImage) root(elements ...string) string {
	var seen struct{ State struct{ Pid int } }
	if err := suite.engine.call(s.t.Context(), http.MethodGet, "/containers/"+s.name+"/json", &seen); err != nil {
		s.t.Fatal(err)
	}
	return filepath.Join(append([]string{"/proc", strconv.Itoa(seen.State.Pid), "root"}, elements...)...)
}

// kill ends a program of the container with SIGKILL.
func (s *engineImage) kill(program string) {
	s.t.Helper()
	var top struct {
		Titles    []string
		Processes [][]string
	}
	if err := suite.engine.call(s.t.Context(), http.MethodGet, "/containers/"+s.name+"/top?ps_args=-eo+pid,args", &top); err != nil {
		s.t.Fatal(err)
	}
	for _, process := range top.Processes {
		if words := strings.Fields(process[1]); words[0] == program {
			pid, err := strconv.Atoi(process[0])
			if err := errors.Join(err, syscall.Kill(pid, syscall.SIGKILL)); err != nil {
				s.t.Fatal(err)
			}
			return
		}
	}
	s.t.Fatalf("%s does not run: %v", program, top.Processes)
}

// sockets are those that others find in the folder that they share with the container.
func (s *engineImage) sockets() []string {
	var found []string
	err := filepath.WalkDir(s.run, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.Type() == fs.ModeSocket {
			found = append(found, filepath.Base(path))
		}
		return err
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return found
}

// chartConfig is the configuration in the values for interLink's chart.
func chartConfig(t *testing.T) map[string]any {
	t.Helper()
	data, err := os.ReadFile("../../docker/interlink/helm-values-engine.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var values struct{ Plugin struct{ Config string } }
	settings := map[string]any{}
	if err := errors.Join(yaml.Unmarshal(data, &values), yaml.Unmarshal([]byte(values.Plugin.Config), &settings)); err != nil || len(settings) == 0 {
		t.Fatalf("the values for the chart have the settings %v, %v", settings, err)
	}
	return settings
}

func (s *engineImage) waitExit(code int) {
	s.t.Helper()
	eventually(s.t, runLimit, fmt.Sprintf("the container ends with %d", code), func() bool {
		state := s.inspect().State
		return state.Status == "exited" && state.ExitCode == code
	}, s.output)
}

// The image with an engine of its own runs pods with nothing from the host but the right to
// be privileged. Its engine and its docker-sd are each started again after a crash, end in
// order, and find the pods again when the container is started anew.
func TestEngineImage(t *testing.T) {
	t.Parallel()
	// The binary under test needs glibc, which the image of the sandboxes has.
	image := buildImage(t, "Dockerfile.engine", "build", map[string]string{"bin/docker-sd": suite.binary,
		"bin/docker-sd-init": "../../pkg/initbinary/files/docker-sd-init"},
		map[string]string{"GO": suite.images.busybox, "BASE": suite.images.sandbox, "BINARY": "bin/docker-sd", "INIT": "bin/docker-sd-init"})
	settings := chartConfig(t)
	settings["AVAILABLEDINDS"] = 1
	s := newEngineImage(t, image, settings)
	s.engine.copyImages(t, suite.images.sandbox, suite.images.busybox)
	s.daemon.client = newClient(filepath.Join(s.run, "plugin.sock"))
	s.waitUp()
	if code, text := newClient(filepath.Join(s.run, "interlink.sock")).must(t, http.MethodPost, "/pinglink", nil); code != http.StatusOK {
		t.Errorf("as the API server of interLink: %d %s", code, text)
	}
	// Those who share the folder with it get docker-sd's sockets, and no way to its engine.
	if got, want := s.sockets(), []string{"interlink.sock", "plugin.sock"}; !slices.Equal(got, want) {
		t.Errorf("in the shared folder there are the sockets %q, want %q", got, want)
	}
	if _, err := os.Stat(s.root(initapi.HostRun, initapi.EngineSocket)); err != nil {
		t.Errorf("the container itself: %v", err)
	}

	c := shell("c", "cat /proc/self/cgroup; "+untilStopped)
	c.ReadinessProbe = quickProbe(tcpProbe("7777"))
	pod := newPod(c, shell("l", "while :; do nc -l -p 7777; done"))
	pod.Spec.RestartPolicy = v1.RestartPolicyAlways
	run := s.daemon.run(t, pod)
	run.waitFor("ready, by a probe over the network", func(p podStatus) bool { return p.Container("c").Ready })
	before := run.waitRunning().Container("c")
	if containers, err := suite.engine.containers(t.Context(), s.label()); err != nil || len(containers) != 0 {
		t.Errorf("the host's engine has %d containers of it, %v", len(containers), err)
	}

	s.kill("docker-sd")
	s.waitUp()
	if after := run.waitRunning().Container("c"); after.ContainerID != before.ContainerID || after.RestartCount != 0 {
		t.Errorf("the container was %s and is %s, restarted %d times", before.ContainerID, after.ContainerID, after.RestartCount)
	}
	s.kill("dockerd")
	run.waitFor("running again", func(p podStatus) bool {
		c := p.Container("c")
		return c.Ready && (c.RestartCount > 0 || c.ContainerID == before.ContainerID)
	})

	s.post("/containers/"+s.name+"/stop?t=60", nil)
	s.waitExit(0)
	s.start()
	s.waitUp()
	run.waitFor("ready after the container was started anew", func(p podStatus) bool { return p.Container("c").Ready })
	run.delete(1)
	run.waitGone()

	s.post("/containers/"+s.name+"/stop?t=60", nil)
	s.waitExit(0)
	s.refuses("AVAILABLEDINDS: many\n", "AVAILABLEDINDS")
}

// refuses wants the container to end with a configuration, and to say why.
func (s *engineImage) refuses(settings, why string) {
	s.t.Helper()
	if err := os.WriteFile(s.Config, []byte(settings), 0o600); err != nil {
		s.t.Fatal(err)
	}
	s.post("/containers/"+s.name+"/start", nil)
	s.waitExit(1)
	if text := s.output(); !strings.Contains(text, why) || !strings.Contains(text, "ended soon after its start") {
		s.t.Errorf("with a wrong configuration the log says\n%s", text)
	}
}
