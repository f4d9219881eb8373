//go:build e2e

package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	v1 "k8s.io/api/core/v1"
)

// soakPod is one pod of a soak.
type soakPod struct {
	kind string
	pod  *v1.Pod
	// dir is where each start of a container leaves a line.
	dir string
	// code is what its container ends with, -1 if it runs until it is stopped.
	code int32
	// answered says that its create was, disturbed that its sandbox was killed, and
	// shaken that the engine in it was, which loses what a container wrote meanwhile.
	answered, disturbed, shaken atomic.Bool
}

// started is a script that leaves a line for each start.
func started(name string) string { return "echo " + name + " >>/vol/starts; " }

func (s *soak) newPod() *soakPod {
	kinds := []string{"ending", "failing", "waiting", "restarting", "init", "gpu"}
	p := &soakPod{kind: kinds[s.random.IntN(len(kinds))], code: -1}
	switch p.kind {
	case "ending":
		p.pod, p.code = newPod(shell("c", started("c")+"echo all of it")), 0
	case "failing":
		p.pod, p.code = newPod(shell("c", started("c")+"echo all of it; exit 3")), 3
	case "waiting":
		p.pod = newPod(shell("c", started("c")+untilStopped), shell("d", started("d")+"i=0; while :; do echo $i; i=$((i+1)); usleep 10000; done"))
	case "restarting":
		p.pod = newPod(shell("c", "echo again; sleep 0.2; exit 1"))
		p.pod.Spec.RestartPolicy = v1.RestartPolicyAlways
	case "init":
		p.pod, p.code = newPod(shell("c", started("c")+"echo all of it")), 0
		p.pod.Spec.InitContainers = []v1.Container{shell("i", started("i")), shell("j", started("j"))}
	case "gpu":
		p.pod = newPod(withGPUs(shell("c", started("c")+untilStopped), 1))
	}
	p.dir = filepath.Join(s.d.hostPath(), string(p.pod.UID))
	withVolume(p.pod, hostDir(p.dir), "/vol")
	return p
}

func (s *soak) create() func() {
	s.mu.Lock()
	full := len(s.pods) >= soakPods
	s.mu.Unlock()
	if full {
		return nil
	}
	p := s.newPod()
	s.mu.Lock()
	s.pods[string(p.pod.UID)], s.live[string(p.pod.UID)] = p, p
	s.mu.Unlock()
	return func() {
		code, text, err := s.d.call(s.t.Context(), http.MethodPost, "/create", encode(s.t, newCreate(p.pod)))
		switch {
		case err != nil: // docker-sd was killed
			s.count(&s.counts.unanswered)
		case code == http.StatusOK:
			p.answered.Store(true)
			s.count(&s.counts.created)
		case strings.Contains(text, "nvidia.com/gpu") || code == http.StatusConflict:
			// All are given, or its delete came first.
		default:
			s.t.Errorf("create of %s was answered with %d: %s", p, code, text)
		}
	}
}

func (s *soak) deleteOne() func() {
	p := s.take()
	if p == nil {
		return nil
	}
	return func() { s.end(p) }
}

// end waits for the end of a pod that ends by itself and was left alone, compares
// it with what it should be, and deletes the pod.
func (s *soak) end(p *soakPod) {
	if p.code >= 0 && p.answered.Load() {
		s.wantEnd(p)
	}
	body := (&podRun{t: s.t, d: s.d, pod: p.pod}).deleteBody(1)
	s.retry("delete of "+p.String(), func() error {
		code, text, err := s.d.call(s.t.Context(), http.MethodPost, "/delete", body)
		if err == nil && code != http.StatusOK {
			err = fmt.Errorf("answer %d: %s", code, text)
		}
		return err
	})
	s.wantOneStart(p)
	s.count(&s.counts.deleted)
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.live, string(p.pod.UID))
}

// wantEnd waits for a pod's end.
func (s *soak) wantEnd(p *soakPod) {
	var last podStatus
	s.retry("end of "+p.String(), func() error {
		var err error
		if last, err = s.status(p); err != nil {
			return err
		}
		if last.Container("c").State.Terminated == nil {
			return fmt.Errorf("it is %+v", last.Container("c").State)
		}
		return nil
	})
	if s.t.Failed() || p.disturbed.Load() {
		return
	}
	end := last.Container("c").State.Terminated
	// An engine that dies while it starts a container leaves it unknown whether that
	// ran; it is not run again, and ends as one that could not be started. Of one that
	// ended meanwhile the next engine says 255.
	unknown := p.shaken.Load() && slices.Contains([]int32{128, 137, 255}, end.ExitCode)
	if p.shaken.Load() && end.ExitCode == 0 && p.code != 0 {
		// One that dies after it has taken the end from containerd, and before it has
		// noted it, says 0 when it is started again (20.10). That is a moment.
		s.count(&s.counts.forgotten)
		unknown = true
	}
	if end.ExitCode != p.code && !unknown {
		s.t.Errorf("%s ended with %+v, want code %d", p, end, p.code)
	}
	var text string
	s.retry("log of "+p.String(), func() error {
		code, answer, err := s.d.call(s.t.Context(), http.MethodGet, "/getLogs", logBody(s.t, p.pod, "c", logOptions{}))
		if text = answer; err == nil && code != http.StatusOK {
			err = fmt.Errorf("answer %d: %s", code, answer)
		}
		return err
	})
	if text != "all of it\n" && !p.disturbed.Load() && !p.shaken.Load() {
		s.t.Errorf("log of %s is %q", p, text)
	}
	s.count(&s.counts.checked)
}

// status asks about one pod, as after an answered create.
func (s *soak) status(p *soakPod) (podStatus, error) {
	pod := p.pod.DeepCopy()
	pod.Annotations = map[string]string{"JobID": "known"}
	code, text, err := s.d.call(s.t.Context(), http.MethodGet, "/status", encode(s.t, []*v1.Pod{pod}))
	if err == nil && code != http.StatusOK {
		err = fmt.Errorf("answer %d: %s", code, text)
	}
	if err != nil {
		return podStatus{}, err
	}
	var out []podStatus
	if err := json.Unmarshal([]byte(text), &out); err != nil || len(out) != 1 || len(out[0].Containers) != len(pod.Spec.Containers) {
		return podStatus{}, errors.Join(err, fmt.Errorf("answer %s", text))
	}
	return out[0], nil
}

// retry does what a kill of docker-sd may interrupt.
func (s *soak) retry(what string, do func() error) {
	deadline := time.Now().Add(runLimit)
	for {
		err := do()
		if err == nil || s.t.Failed() {
			return
		}
		if time.Now().After(deadline) {
			s.t.Errorf("%s: %v", what, err)
			return
		}
		<-time.After(5 * tickPeriod)
	}
}

// wantOneStart checks that no container of a pod that must not restart did.
func (s *soak) wantOneStart(p *soakPod) {
	text, err := os.ReadFile(filepath.Join(p.dir, "starts"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		s.t.Errorf("starts of %s: %v", p, err)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(string(text)) {
		if seen[line] {
			s.t.Errorf("%s ran container %s twice: %s\n%s", p, strings.TrimSpace(line), text, s.d.log.About(string(p.pod.UID)))
		}
		seen[line] = true
	}
}

func (s *soak) follow() func() {
	p := s.pick()
	if p == nil {
		return nil
	}
	patience := time.Duration(s.random.IntN(2000)) * time.Millisecond
	return func() {
		ctx, cancel := context.WithTimeout(s.t.Context(), patience)
		defer cancel()
		response, err := s.d.Send(ctx, http.MethodGet, "/getLogs", logBody(s.t, p.pod, "c", logOptions{Follow: true}), apiHeaders())
		if err != nil {
			return
		}
		defer response.Body.Close()
		if response.StatusCode == http.StatusOK {
			_, _ = io.Copy(io.Discard, response.Body) // ends with the pod, with docker-sd, or with our patience
			s.count(&s.counts.followed)
		}
	}
}

// look asks for all pods at once and notes which volumes there are.
func (s *soak) look() func() {
	return func() {
		containers, err := suite.engine.containers(s.t.Context(), s.d.label())
		if err != nil {
			s.t.Errorf("list the sandboxes: %v", err)
		}
		s.mu.Lock()
		for _, name := range volumes(containers) {
			s.volumes[name] = true
		}
		var pods []*v1.Pod
		for _, p := range s.pods {
			pods = append(pods, p.pod)
		}
		s.mu.Unlock()
		if len(pods) == 0 {
			return
		}
		code, text, err := s.d.call(s.t.Context(), http.MethodGet, "/status", encode(s.t, pods))
		if err == nil && code != http.StatusOK && code != http.StatusServiceUnavailable {
			s.t.Errorf("status was answered with %d: %s", code, text)
		}
	}
}

// killSandbox kills one, warm, standing by or a pod's.
func (s *soak) killSandbox() func() {
	at := s.random.IntN(1 << 20)
	return func() {
		containers, err := suite.engine.containers(s.t.Context(), s.d.label())
		if err != nil || len(containers) == 0 {
			return
		}
		slices.SortFunc(containers, func(a, b hostContainer) int { return strings.Compare(a.ID, b.ID) })
		victim := containers[at%len(containers)]
		s.disturb(victim)
		if suite.engine.kill(s.t.Context(), victim.ID) == nil {
			s.count(&s.counts.sandboxes)
		}
	}
}

// disturb notes that whatever pod is in a sandbox need not end as it would have.
// One that is not named after its pod yet may be any pod's.
func (s *soak) disturb(c hostContainer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for uid, p := range s.live {
		if c.name() == uid+"_dind" || !strings.Contains(c.name(), "_standby") && c.name() == c.Labels[sandboxLabel] {
			p.disturbed.Store(true)
		}
	}
}

// killEngine kills the engine in a sandbox; containers live on (live-restore).
func (s *soak) killEngine() func() {
	at := s.random.IntN(1 << 20)
	return func() {
		engines := s.d.innerEngines(s.t.Errorf)
		if len(engines) == 0 {
			return
		}
		s.mu.Lock()
		for _, p := range s.live {
			p.shaken.Store(true)
		}
		s.mu.Unlock()
		if syscall.Kill(engines[at%len(engines)], syscall.SIGKILL) == nil {
			s.count(&s.counts.engines)
		}
	}
}

// innerEngines are the processes of the engines in the daemon's sandboxes.
func (d *daemon) innerEngines(complain func(string, ...any)) []int {
	paths, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		complain("list the processes: %v", err)
	}
	var out []int
	for _, path := range paths {
		text, err := os.ReadFile(path)
		argv := strings.Split(string(text), "\x00")
		groups, groupsErr := os.ReadFile(filepath.Join(filepath.Dir(path), "cgroup"))
		if err != nil || groupsErr != nil || filepath.Base(argv[0]) != "dockerd" || !strings.Contains(string(groups), "/"+d.group()+"/") {
			continue
		}
		var pid int
		if _, err := fmt.Sscanf(path, "/proc/%d/", &pid); err == nil {
			out = append(out, pid)
		}
	}
	return out
}

// killDaemon is done by the goroutine that chooses, so that there is one at a time.
func (s *soak) killDaemon() func() {
	if err := s.d.kill(); err != nil {
		s.t.Error(err)
	}
	if err := s.d.start(); err != nil {
		s.t.Error(err)
	}
	s.count(&s.counts.daemons)
	return nil
}
