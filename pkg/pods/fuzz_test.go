package pods

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"
	"github.com/go-json-experiment/json/jsontext"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/interlink"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/records"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes"
)

// recordings are the bodies of recorded requests.
func recordings(f *testing.F, pattern string) [][]byte {
	f.Helper()
	names, err := filepath.Glob(filepath.Join("../interlink/testdata/wire", pattern))
	if err != nil || len(names) == 0 {
		f.Fatal("no recordings", err)
	}
	var out [][]byte
	for _, name := range names {
		file, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		var recorded struct{ Body json.RawMessage }
		if err := json.Unmarshal(file, &recorded); err != nil {
			f.Fatal(err)
		}
		out = append(out, recorded.Body)
	}
	return out
}

// replaced puts a value in the place of the n-th scalar of a body: JSON as it
// is, anything else as a text. Mutated bytes alone are seldom JSON.
func replaced(body []byte, n uint16, value string) []byte {
	if !json.Valid([]byte(value)) {
		quoted, err := json.Marshal(value)
		if err != nil {
			return body
		}
		value = string(quoted)
	}
	d := jsontext.NewDecoder(bytes.NewReader(body))
	for {
		switch d.PeekKind() {
		case '{', '}', '[', ']':
			if _, err := d.ReadToken(); err != nil {
				return body
			}
			continue
		}
		scalar, err := d.ReadValue()
		if err != nil {
			return body
		}
		if kind, members := d.StackIndex(d.StackDepth()); kind == '{' && members%2 == 1 {
			continue // a name
		}
		if n--; n == 0 {
			end := int(d.InputOffset())
			return slices.Concat(body[:end-len(scalar)], []byte(value), body[end:])
		}
	}
}

// FuzzPod: a created pod is refused as an invalid argument, or all that is made
// of its names stays in its own places and it gets no more than a pod may have.
func FuzzPod(f *testing.F) {
	for _, body := range recordings(f, "create-*.json") {
		for n, value := range []string{"", "../../x", "null", "-1", "18446744073709551616", "a\x00b", "$(A)$(A)", "/etc", "{}", "[1]", "true"} {
			f.Add(body, uint16(7*n), value)
		}
	}
	config := Config{Dir: "/data", MaxPods: 1,
		Node:    podspec.Node{TrustAnnotations: true, AllowPrivileged: true, Capabilities: sandbox.Capabilities},
		Volumes: volumes.Policy{HostPathPrefixes: []string{"/tmp/hp"}, Claims: map[string]string{"claim1": "/claim"}, Private: "/data"}}
	m := New(config, nil, nil, nil)
	ctx := log.WithLogger(context.Background(), log.L.WithField("fuzz", true))
	f.Fuzz(func(t *testing.T, body []byte, n uint16, value string) {
		request, err := interlink.DecodeCreate(replaced(body, n, value))
		if err != nil {
			return
		}
		pod := &request.Pod
		var data volumes.Data
		for _, c := range append(request.Containers, request.InitContainers...) {
			data.Add(c.ConfigMaps, c.Projected, c.Secrets)
		}
		if err := m.validate(ctx, pod, data); err != nil {
			if !errdefs.IsInvalidArgument(err) {
				t.Fatalf("refused with %v, which is no invalid argument", err)
			}
			if text := err.Error(); len(text) > 5000 || strings.ContainsFunc(text, unicode.IsControl) {
				t.Fatalf("refused with %d bytes: %q", len(text), text)
			}
			return
		}
		p := m.newPod(pod)
		if path := m.store.RecordPath(pod.UID); filepath.Dir(path) != "/data/records" {
			t.Fatalf("record at %s", path)
		}
		names := map[string]bool{}
		for _, c := range podspec.Containers(pod) {
			if path := p.logs.Path(c.Name, false); filepath.Dir(path) != "/data/archive/"+string(pod.UID) {
				t.Fatalf("log at %s", path)
			}
			env := podspec.NewEnvironment(pod, &c, config.Node, "10.0.0.2", nil)
			spec, err := podspec.Container(pod, &c, env, config.Node, "")
			if err != nil {
				t.Fatalf("validated, and then: %v", err)
			}
			if names[spec.Name] || strings.ContainsAny(spec.Name, "/\x00") || spec.Privileged || spec.Network != "host" {
				t.Fatalf("container %q, privileged %v, network %q", spec.Name, spec.Privileged, spec.Network)
			}
			names[spec.Name] = true
			for _, name := range spec.CapAdd {
				if !slices.Contains(sandbox.Capabilities, name) || name == "SYS_ADMIN" || name == "SYS_PTRACE" && pod.Spec.HostPID {
					t.Fatalf("container %q gets %s", c.Name, name)
				}
			}
			for _, text := range slices.Concat(spec.Env, spec.Entrypoint, spec.Cmd) {
				if len(text) >= 256<<10 || strings.ContainsRune(text, 0) {
					t.Fatalf("container %q gets a variable or argument of %d bytes", c.Name, len(text))
				}
			}
		}
		kept := p.record.Load()
		if file, err := records.Encode(&kept); err != nil {
			t.Fatalf("the record cannot be written: %v", err)
		} else if _, err := records.Decode(file); err != nil {
			t.Fatalf("the record cannot be read again: %v", err)
		}
	})
}

// FuzzStatus: a poll that can be read is answered with each container of the
// polled pod exactly once, in its order, whatever is known of the pod.
func FuzzStatus(f *testing.F) {
	for _, body := range recordings(f, "status-*.json") {
		f.Add(body, uint16(0))
		f.Add(body, uint16(0xffff))
	}
	f.Fuzz(func(t *testing.T, body []byte, how uint16) {
		polled, err := interlink.DecodeStatus(body)
		if err != nil {
			return
		}
		m := New(Config{MaxPods: 1}, nil, nil, nil)
		for _, spec := range polled {
			wantEach(t, spec, podstatus.Uniform(spec, podstatus.Waiting(podstatus.ReasonCreating, "")))
			if got, _ := m.Status(spec); len(got.Containers) != len(spec.Spec.Containers) {
				t.Fatalf("%d of %d containers of an unknown pod", len(got.Containers), len(spec.Spec.Containers))
			}
			known := map[string]v1.ContainerStatus{}
			for n, c := range podspec.Containers(spec) {
				status := v1.ContainerStatus{Name: c.Name}
				switch how >> (n % 16) & 3 {
				case 0:
					status.State = podstatus.Waiting(podstatus.ReasonCreating, "")
				case 1:
					status.State.Running = &v1.ContainerStateRunning{}
				case 2:
					status.State.Terminated = &v1.ContainerStateTerminated{ExitCode: int32(n % 2)}
				default:
					continue // one that we do not run
				}
				known[c.Name] = status
			}
			wantEach(t, spec, podstatus.ReportOf(spec, known, how&1 == 1))
		}
	})
}

func wantEach(t *testing.T, spec *v1.Pod, got podstatus.Report) {
	t.Helper()
	if len(got.Containers) != len(spec.Spec.Containers) || len(got.InitContainers) > len(spec.Spec.InitContainers) {
		t.Fatalf("report lists %d and %d containers of a pod with %d and %d", len(got.Containers), len(got.InitContainers),
			len(spec.Spec.Containers), len(spec.Spec.InitContainers))
	}
	for i, status := range got.Containers {
		if status.Name != spec.Spec.Containers[i].Name {
			t.Fatalf("container %d is listed as %q, not %q", i, status.Name, spec.Spec.Containers[i].Name)
		}
		states := 0
		for _, there := range []bool{status.State.Waiting != nil, status.State.Running != nil, status.State.Terminated != nil} {
			if there {
				states++
			}
		}
		if states != 1 {
			t.Fatalf("container %q has %d states", status.Name, states)
		}
	}
}
