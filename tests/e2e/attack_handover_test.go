//go:build e2e

package e2e_test

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// TestAttackHandover: a sandbox in which a pod runs is not handed to another one after
// its record was lost, it got its name from the pool again, and docker-sd was killed.
func TestAttackHandover(t *testing.T) {
	t.Parallel()
	theIntruder(t)
	for name, lose := range map[string]func(record string) error{
		"emptied": func(record string) error { return os.Truncate(record, 0) },
		"removed": os.Remove,
		"of none": func(record string) error { return os.WriteFile(record, []byte("{}"), 0o600) },
	} {
		t.Run(name, func(t *testing.T) { handOver(t, lose) })
	}
}

func handOver(t *testing.T, lose func(record string) error) {
	const pool = 1
	d := ownDaemon(t, pool, nil)
	mark := "left-" + d.instance
	t.Cleanup(func() { // what is left of the first pod would be reported at the end
		if d.Running() {
			if err := d.stop(); err != nil {
				t.Error(err)
			}
		}
	})
	first := newPod(shell("c", "echo secret >/dev/shm/"+mark+"; touch /dev/shm/done; "+untilStopped))
	code, text := d.must(t, http.MethodPost, "/create", encode(t, newCreate(first)))
	p := &podRun{t: t, d: d, pod: first, jid: decodeCreate(t, first, code, text).PodJID}
	p.annotate()
	p.waitRunning()
	box := p.sandbox()
	d.waitWarmBeside(t, pool)
	// The control: what runs in that sandbox finds the file.
	eventually(t, runLimit, "the secret is in the sandbox", func() bool {
		return strings.Contains(execIn(t, box.ID, nil, []string{"cat", "/dev/shm/" + mark}), "secret")
	}, nil)

	if err := d.kill(); err != nil {
		t.Fatal(err)
	}
	record := filepath.Join(d.data(), "records", string(first.UID)+".json")
	if err := lose(record); err != nil {
		t.Fatal(err)
	}
	if err := post(t.Context(), "/containers/"+box.ID+"/rename?name="+p.box, "application/json", nil, io.Discard); err != nil {
		t.Fatal(err)
	}
	// Both are wanted: the one that is warm, and the one that looks so.
	d.settings["AVAILABLEDINDS"] = pool + 1
	if err := d.writeConfig(); err != nil {
		t.Fatal(err)
	}
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	// More pods than could be warm, so that the old sandbox would be among theirs.
	var runs []*podRun
	for range pool + 2 {
		c := attacker(t, "c", "probe", "shared-memory")
		c.Env = []v1.EnvVar{{Name: "ATTACK_MARK", Value: mark}}
		runs = append(runs, d.run(t, newPod(c)))
	}
	for _, next := range runs {
		f := findings(next.output())["shared-memory"]
		if f.state != held {
			t.Errorf("another pod %s: %s", f.state, f.saw)
		}
	}
}
