//go:build e2e

package e2e_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/intertwin-eu/interlink-docker-plugin/tests/kit"
	v1 "k8s.io/api/core/v1"
)

// recording is one request of a real interLink API server.
type recording struct {
	Method  string
	Path    string
	Headers map[string]string
	Body    json.RawMessage
}

const recordings = "testdata/wire"

// readRecording puts images that are here in the place of those that are not,
// and the daemon's own host path in the place of /tmp/hp.
func readRecording(t *testing.T, d *daemon, name string) recording {
	t.Helper()
	return readRequest(t, d, filepath.Join(recordings, name+".json"))
}

func readRequest(t *testing.T, d *daemon, path string) recording {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	replaced := strings.NewReplacer(
		`"busybox:1.36"`, `"`+suite.images.busybox+`"`,
		`"ghcr.io/grycap/cowsay"`, `"`+suite.images.bash+`"`,
		`"registry.example.com/team/app:1.0"`, `"`+suite.images.busybox+`"`,
		`"/tmp/hp"`, `"`+d.hostPath()+`/hp"`,
	).Replace(string(text))
	var r recording
	if err := json.Unmarshal([]byte(replaced), &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// replay sends a recording as it was sent.
func (d *daemon) replay(t *testing.T, name string) (int, string) {
	t.Helper()
	r := readRecording(t, d, name)
	code, text, err := d.Call(t.Context(), r.Method, r.Path, r.Body, r.Headers)
	if err != nil {
		t.Fatalf("%s was not answered: %v", name, err)
	}
	return code, text
}

// recordedPod is the pod that a create carries.
func recordedPod(t *testing.T, d *daemon, name string) *v1.Pod {
	t.Helper()
	body := readRecording(t, d, name).Body
	var list []createRequest
	if err := json.Unmarshal(body, &list); err == nil && len(list) == 1 {
		return list[0].Pod
	}
	var one createRequest
	if err := json.Unmarshal(body, &one); err != nil || one.Pod == nil {
		t.Fatalf("%s carries no pod: %v", name, err)
	}
	return one.Pod
}

// replayCreate replays a create that must be accepted.
func (d *daemon) replayCreate(t *testing.T, name string) *podRun {
	t.Helper()
	code, text := d.replay(t, name)
	return d.created(t, recordedPod(t, d, name), code, text)
}

// step replays one file and checks what it leads to.
type step struct {
	file  string
	check func(t *testing.T, d *daemon, code int, text string)
}

// answers checks an answer that does not start anything.
func answers(want int, parts ...string) func(*testing.T, *daemon, int, string) {
	return func(t *testing.T, _ *daemon, code int, text string) {
		t.Helper()
		if code != want {
			t.Errorf("answered with %d %.500q, want %d", code, text, want)
		}
		for _, part := range parts {
			if !strings.Contains(text, part) {
				t.Errorf("%.500q does not contain %q", text, part)
			}
		}
	}
}

func exactly(want string) func(*testing.T, *daemon, int, string) {
	return func(t *testing.T, _ *daemon, code int, text string) {
		t.Helper()
		if code != http.StatusOK || text != want {
			t.Errorf("answered with %d %q, want 200 %q", code, text, want)
		}
	}
}

// TestRecordings replays every recorded request in an order that makes sense.
func TestRecordings(t *testing.T) {
	t.Parallel()
	d := ownDaemon(t, 1, nil)
	d.waitReady(t)
	var hello *podRun
	steps := []step{
		{"ping", answers(200, `"status":"ok"`, `"cpu":"`)},
		{"status-running-pod", answers(200, "ContainerStatusUnknown", `"exitCode":137`)},
		{"getlogs-follow", answers(404)},
		{"create-hello-world", func(t *testing.T, d *daemon, code int, text string) {
			hello = d.created(t, recordedPod(t, d, "create-hello-world"), code, text)
			hello.waitPhase(v1.PodSucceeded)
		}},
		// The same pod in the shape of 2024: known, so the same answer.
		{"create-hello-world-2024-list", func(t *testing.T, _ *daemon, code int, text string) {
			if got := decodeCreate(t, hello.pod, code, text).PodJID; got != hello.jid {
				t.Errorf("JID %s, want %s", got, hello.jid)
			}
		}},
		{"getlogs-follow", exactly("hello world\n")},
		{"getlogs-limit-bytes", exactly("hello world\n")},
		{"getlogs-previous", answers(404)},
		{"getlogs-since-seconds", exactly("hello world\n")},
		{"getlogs-since-time", sinceRecorded},
		{"getlogs-tail-timestamps", stamped},
		{"delete-hello-world", answers(200, "All containers for submitted Pods have been deleted")},
		{"delete-hello-world", answers(200)},
		{"create-hello-world", answers(409)},
		{"create-two-gpus", answers(429, "2 nvidia.com/gpu", "none")},
		{"create-with-pvc", answers(400, "claim1", "PersistentVolumeClaims")},
		{"status-pod-with-pvc", answers(200, `"name":"with-pvc"`, "ContainerStatusUnknown")},
		{"create-restart-always", restarts},
		{"status-running-pod", answers(200, `"restartCount":1`)},
		{"create-full-pod", fullPod},
		{"delete-full-volumes", answers(200)},
	}
	replayed := []string{}
	for _, s := range steps {
		replayed = append(replayed, s.file+".json")
		code, text := d.replay(t, s.file)
		if s.check(t, d, code, text); t.Failed() {
			t.Fatalf("stopped at %s", s.file)
		}
	}
	slices.Sort(replayed)
	there, err := filepath.Glob(recordings + "/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for i := range there {
		there[i] = filepath.Base(there[i])
	}
	if diff := cmp.Diff(there, slices.Compact(replayed)); diff != "" {
		t.Errorf("recordings that are there and those replayed (-there +replayed):\n%s", diff)
	}
}

// sinceRecorded: the recording asks for lines since a day that this machine's
// clock may not have reached.
func sinceRecorded(t *testing.T, d *daemon, code int, text string) {
	var request kit.LogRequest
	if err := json.Unmarshal(readRecording(t, d, "getlogs-since-time").Body, &request); err != nil {
		t.Fatal(err)
	}
	want := "hello world\n"
	if request.Opts.SinceTime.After(time.Now()) {
		want = ""
	}
	exactly(want)(t, d, code, text)
}

func stamped(t *testing.T, d *daemon, code int, text string) {
	stamp, rest, _ := strings.Cut(text, " ")
	if _, err := time.Parse(time.RFC3339Nano, stamp); err != nil {
		t.Errorf("line %q: %v", text, err)
	}
	exactly("hello world\n")(t, d, code, rest)
}

func restarts(t *testing.T, d *daemon, code int, text string) {
	p := d.created(t, recordedPod(t, d, "create-restart-always"), code, text)
	p.waitFor("the first restart", func(s podStatus) bool { return s.Container("c").RestartCount == 1 })
}

// fullPod has every kind of volume, an init container, a native sidecar, a
// security context, probes and hooks.
func fullPod(t *testing.T, d *daemon, code int, text string) {
	p := d.created(t, recordedPod(t, d, "create-full-pod"), code, text)
	seen := p.waitPhase(v1.PodSucceeded)
	if len(seen.InitContainers) != 2 || seen.InitContainers[0].Name != "init1" || seen.InitContainers[1].State != (v1.ContainerState{}) {
		t.Errorf("init containers = %s", encode(t, seen.InitContainers))
	}
	// GREETING refers to POD_NAME, which comes after it, so it stays as it is, and
	// the shell then finds no such program.
	got := p.logs("main", logOptions{})
	if !strings.Contains(got, "hello") || !strings.Contains(got, "alpha\n") { // two streams, in no order
		t.Errorf("log of main = %q", got)
	}
	if info, err := os.Stat(filepath.Join(d.hostPath(), "hp")); err != nil || !info.IsDir() {
		t.Errorf("the DirectoryOrCreate host path is not there: %v", err)
	}
}

// TestRecordedListOf2024 starts a pod by itself.
func TestRecordedListOf2024(t *testing.T) {
	t.Parallel()
	d := ownDaemon(t, 0, nil)
	p := d.replayCreate(t, "create-hello-world-2024-list")
	if got := p.output(); got != "hello world\n" {
		t.Errorf("log = %q", got)
	}
}

// TestRecordedClaim: the claim that TestRecordings sees refused works once the
// operator has named its path.
func TestRecordedClaim(t *testing.T) {
	t.Parallel()
	d := prepareDaemon(t, map[string]any{"AVAILABLEDINDS": 0})
	claim := filepath.Join(d.dir, "claim")
	if err := os.Mkdir(claim, 0o755); err != nil {
		t.Fatal(err)
	}
	touch(t, filepath.Join(claim, "of-the-claim"))
	d.settings["PersistentVolumeClaims"] = map[string]string{"default/claim1": claim}
	if err := d.writeConfig(); err != nil {
		t.Fatal(err)
	}
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	p := d.replayCreate(t, "create-with-pvc")
	if got := p.output(); got != "of-the-claim\n" {
		t.Errorf("log = %q", got)
	}
	if code, text := d.replay(t, "status-pod-with-pvc"); code != http.StatusOK || !strings.Contains(text, `"exitCode":0`) {
		t.Errorf("status was answered with %d %s", code, text)
	}
}

// TestFullPodInside looks at the recorded pod from inside: the same create with
// a main container that shows what it got.
func TestFullPodInside(t *testing.T) {
	t.Parallel()
	d := sharedDaemon(t)
	var request createRequest
	if err := json.Unmarshal(readRecording(t, d, "create-full-pod").Body, &request); err != nil {
		t.Fatal(err)
	}
	fresh := newPod()
	request.Pod.UID, request.Pod.Name = fresh.UID, fresh.Name
	main := &request.Pod.Spec.Containers[0]
	main.LivenessProbe, main.ReadinessProbe, main.StartupProbe, main.Lifecycle = nil, nil, nil, nil
	checks := []struct{ show, want string }{
		{"cat /shared/one", "one"},
		{"cat /etc/cm/b.conf; echo", "k=v"},
		{"xxd -p /etc/cm/raw.bin", "0001020304ff"},
		{"cat /etc/one/a", "alpha"},
		{"cat /etc/sec/user; echo", "me"},
		{"cat /etc/down/labels | head -1", `app="x"`},
		{"cat /etc/proj/cfg/a", "alpha"},
		{"cat /etc/proj/ns; echo", "default"},
		{"cat /var/run/secrets/kubernetes.io/serviceaccount/token; echo", "service-account-token"},
		{"touch /etc/sec/x 2>/dev/null || echo read-only", "read-only"},
		{"touch /x 2>/dev/null || echo read-only root", "read-only root"},
		{"touch /mem/x && grep -c ' /mem tmpfs' /proc/mounts", "1"},
		{"touch /shared/two && echo writable", "writable"},
		{"pwd", "/srv"},
		{"id -u", "1000"},
		{"id -g", "2000"},
		{"id -G | tr ' ' '\\n' | sort | tr '\\n' ' '; echo", "2000 3000 4000 "},
		{"hostname", "myhost"},
		{"grep db.local /etc/hosts | tr '\\t' ' '", "10.1.2.3 db.local"},
		{"grep -c '^nameserver 1.1.1.1$' /etc/resolv.conf", "1"},
		{"grep -c 'ndots:2' /etc/resolv.conf", "1"},
		{`printf '%s\n' "$PASS"`, `p$w'"d with spaces`},
		{"grep NoNewPrivs /proc/self/status | tr -d '\\t'", "NoNewPrivs:1"},
	}
	script, want := "", ""
	for i, c := range checks {
		script += fmt.Sprintf("printf '%%s ' %d; %s;\n", i, c.show)
		want += fmt.Sprintf("%d %s\n", i, c.want)
	}
	main.Args = []string{script}
	p := d.runRequest(t, request)
	p.waitPhase(v1.PodSucceeded)
	if diff := cmp.Diff(want, p.logs("main", logOptions{})); diff != "" {
		t.Errorf("inside the pod (-want +got):\n%s", diff)
	}
}
