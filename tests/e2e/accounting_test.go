//go:build e2e

package e2e_test

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/usage"
)

// billsIn reads an accounting file, which has to be its owner's alone.
func billsIn(t *testing.T, path string) (out []usage.Bill) {
	t.Helper()
	text, err := os.ReadFile(path)
	info, statErr := os.Stat(path)
	if err := errors.Join(err, statErr); err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the accounting file has mode %s", info.Mode())
	}
	for line := range strings.Lines(string(text)) {
		var b usage.Bill
		if err := json.Unmarshal([]byte(line), &b); err != nil {
			t.Errorf("line %q: %v", line, err)
		}
		out = append(out, b)
	}
	return out
}

// letGo has a container that waits with untilGo end.
func letGo(t *testing.T, dir string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, "go"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
}

// saysUsed waits for the line of the log that says what the only pod has used.
func (d *daemon) saysUsed(t *testing.T, message string) {
	t.Helper()
	eventually(t, runLimit, "the log says what the pod has used", func() bool {
		line := d.log.About(message)
		return strings.Contains(line, "cpu=") && strings.Contains(line, "peakMemory=")
	}, func() string { return d.log.About(message) })
}

// TestAccounting: a pod that works before, while and after docker-sd is killed has one line,
// with all that the kernel has counted; so has one that is over before anybody looks.
func TestAccounting(t *testing.T) {
	t.Parallel()
	accounts := filepath.Join(t.TempDir(), "accounts.jsonl")
	d := ownDaemon(t, 1, map[string]any{"AccountingFile": accounts})
	dir := filepath.Join(d.hostPath(), "work")
	began := time.Now()
	p := d.run(t, withVolume(newPod(shell("c", "echo begun >/vol/begun; "+burn+burn+burn+"echo done >/vol/done"+untilGo)), hostDir(dir), "/vol"))
	eventually(t, runLimit, "the container works", func() bool { return fileOf(t, filepath.Join(dir, "begun")) != "" }, nil)
	if err := d.kill(); err != nil {
		t.Fatal(err)
	}
	eventually(t, runLimit, "the container has done its work without docker-sd", func() bool { return fileOf(t, filepath.Join(dir, "done")) != "" }, nil)
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	d.waitReady(t)
	p.waitRunning()
	used := p.dockerStats("c").CPU.Usage.Total
	letGo(t, dir)
	p.waitPhase(v1.PodSucceeded)
	eventually(t, runLimit, "the pod is accounted for", func() bool { return len(billsIn(t, accounts)) == 1 }, nil)
	bill := billsIn(t, accounts)[0]
	// It has looked for its file a few times since.
	if got := bill.CPUSeconds; got < float64(used)/1e9*0.999 {
		t.Errorf("%v s of processor time, the engine had counted %v before the end", got, float64(used)/1e9)
	}
	wantClose(t, "the processor time", bill.CPUSeconds, float64(used)/1e9)
	if bill.UID != string(p.pod.UID) || bill.Name != p.pod.Name || bill.Namespace != p.pod.Namespace || bill.Node != d.instance || bill.Phase != "succeeded" || bill.PeakMemoryBytes == 0 {
		t.Errorf("the line is %+v", bill)
	}
	if bill.Created.Before(began.Add(-time.Second)) || bill.Started == nil || bill.Started.Before(bill.Created.Add(-time.Second)) || bill.Ended.Before(*bill.Started) || time.Since(bill.Ended) < 0 {
		t.Errorf("the times are %s, %v, %s", bill.Created, bill.Started, bill.Ended)
	}
	d.saysUsed(t, "pod ended")

	short := d.run(t, newPod(shell("c", burn)))
	short.waitPhase(v1.PodSucceeded)
	eventually(t, runLimit, "the short pod is accounted for", func() bool { return len(billsIn(t, accounts)) == 2 }, nil)
	if got := billsIn(t, accounts)[1]; got.CPUSeconds < bill.CPUSeconds/30 || got.UID != string(short.pod.UID) {
		t.Errorf("a third of the work is %v s, all of it was %v", got.CPUSeconds, bill.CPUSeconds)
	}
	for _, one := range []*podRun{p, short} {
		one.delete(0)
		one.waitGone()
	}
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	d.waitReady(t)
	if got := billsIn(t, accounts); len(got) != 2 {
		t.Errorf("after the deletes and a restart there are %+v", got)
	}
}

// TestAccountingOfALoss: what a pod used in a sandbox that was killed is added to what it
// uses in the next one.
func TestAccountingOfALoss(t *testing.T) {
	t.Parallel()
	accounts := filepath.Join(t.TempDir(), "accounts.jsonl")
	d := ownDaemon(t, 1, map[string]any{"AccountingFile": accounts})
	pod := newPod(shell("c", burn+"echo done >>/vol/done; "+untilStopped))
	pod.Spec.RestartPolicy = v1.RestartPolicyAlways
	dir := filepath.Join(d.hostPath(), "work")
	p := d.run(t, withVolume(pod, hostDir(dir), "/vol"))
	done := func(n int) func() bool {
		return func() bool { return strings.Count(fileOf(t, filepath.Join(dir, "done")), "done") >= n }
	}
	eventually(t, runLimit, "the work is done", done(1), nil)
	first := p.dockerStats("c").CPU.Usage.Total
	p.usage("c", time.Now())
	if err := suite.engine.kill(t.Context(), p.sandbox().ID); err != nil {
		t.Fatal(err)
	}
	eventually(t, runLimit, "the work is done once more", done(2), nil)
	p.waitRunning()
	second := p.dockerStats("c").CPU.Usage.Total
	p.delete(0)
	p.waitGone()
	bills := billsIn(t, accounts)
	if len(bills) != 1 {
		t.Fatalf("the lines are %+v", bills)
	}
	wantClose(t, "the processor time of both", bills[0].CPUSeconds, float64(first+second)/1e9)
	d.saysUsed(t, "pod deleted")
}
