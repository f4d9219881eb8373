//go:build e2e

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// churnPods are created and deleted side by side over churnGPUs GPUs, while
// docker-sd is killed churnKills times.
const (
	churnPods  = 200
	churnGPUs  = 8
	churnKills = 6
)

// TestGPU_ChurnWithCrashes: pods that ask for a random number of GPUs come and
// go while docker-sd is killed again and again. What a pod holds is in its record
// from before its create is answered until its sandbox is gone, so two records
// that hold one GPU at the same time are a GPU given twice. At the end all GPUs
// can be had at once: none is lost.
func TestGPU_ChurnWithCrashes(t *testing.T) {
	g := newFakeGPUs(t, churnGPUs)
	d := ownDaemon(t, 0, g.settings(map[string]any{"SandboxBootParallel": 2, "MaxPods": churnPods}))
	c := &churn{t: t, d: d}
	watching, stop := context.WithCancel(t.Context())
	var watchers, lanes sync.WaitGroup
	watchers.Go(func() { c.watch(watching) })
	for lane := range churnPods {
		lanes.Go(func() {
			random := rand.New(rand.NewPCG(uint64(lane), 7))
			for !c.live(random) && !t.Failed() {
				// Refused, or cut short by a crash.
				<-time.After(time.Duration(1000+random.IntN(1000)) * time.Millisecond)
			}
		})
	}
	for kill := range churnKills {
		eventually(t, runLimit, "more pods were taken", func() bool {
			return c.so().taken >= (kill+1)*churnPods/(churnKills+1) || t.Failed()
		}, func() string { return fmt.Sprintf("%+v", c.so()) })
		if err := d.kill(); err != nil {
			t.Error(err)
		}
		if err := d.start(); err != nil {
			t.Error(err)
		}
	}
	lanes.Wait()
	t.Logf("pods and looks at their records: %+v", c.so())
	eventually(t, runLimit, "no record is left", func() bool { return len(c.records()) == 0 },
		func() string { return fmt.Sprint(c.records()) })
	stop()
	watchers.Wait()
	all := d.run(t, newPod(withGPUs(shell("c", gpuLook), churnGPUs)))
	if seen := g.seen(all.output()); len(seen) != churnGPUs {
		t.Errorf("the last pod sees %v, want all %d", seen, churnGPUs)
	}
	if got := d.total(t); got != churnGPUs {
		t.Errorf("the ping tells of %d GPUs", got)
	}
}

// churn counts what happens. Its goroutines report with Errorf only.
type churn struct {
	t *testing.T
	d *daemon

	mu   sync.Mutex
	seen churnCounts
}

type churnCounts struct{ taken, full, lost, looks int }

func (c *churn) count(add churnCounts) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen.taken += add.taken
	c.seen.full += add.full
	c.seen.lost += add.lost
	c.seen.looks += add.looks
}

func (c *churn) so() churnCounts {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen
}

// live creates a pod, lets it be for a moment, and deletes it, whatever became
// of the create: its answer may be lost in a crash. It tells whether it was taken.
func (c *churn) live(random *rand.Rand) (taken bool) {
	want := random.IntN(churnGPUs/2) + 1
	pod := newPod(withGPUs(shell("c", untilStopped), want))
	code, text, err := c.d.call(c.t.Context(), http.MethodPost, "/create", encode(c.t, newCreate(pod)))
	switch {
	case err != nil:
		c.count(churnCounts{lost: 1})
	case code == http.StatusOK:
		taken = true
		c.count(churnCounts{taken: 1})
		if r := c.read(string(pod.UID)); len(r.holds()) != want {
			c.t.Errorf("pod %s asked for %d and its record has %v", pod.UID, want, r.holds())
		}
	case strings.Contains(text, "nvidia.com/gpu"):
		c.count(churnCounts{full: 1})
		return false
	default:
		c.t.Errorf("create was answered with %d: %s", code, text)
	}
	<-time.After(time.Duration(random.IntN(100)) * time.Millisecond)
	body := (&podRun{t: c.t, d: c.d, pod: pod}).deleteBody(0)
	deadline := time.Now().Add(runLimit)
	for {
		code, text, err := c.d.call(c.t.Context(), http.MethodPost, "/delete", body)
		if err == nil && code == http.StatusOK {
			return taken
		}
		if time.Now().After(deadline) {
			c.t.Errorf("delete of %s was answered with %d %s: %v", pod.UID, code, text, err)
			return taken
		}
		<-time.After(tickPeriod)
	}
}

// watch compares the records of all pods over and over.
func (c *churn) watch(ctx context.Context) {
	for ctx.Err() == nil {
		holders := map[string]string{}
		for _, uid := range c.records() {
			for _, gpu := range c.read(uid).holds() {
				// The first may have ended before the second was given the GPU. A pod
				// never holds again what it let go, so if it still does, it did all along.
				if first := holders[gpu]; first != "" && slices.Contains(c.read(first).holds(), gpu) {
					c.t.Errorf("%s is held by pods %s and %s", gpu, first, uid)
				}
				holders[gpu] = uid
			}
		}
		c.count(churnCounts{looks: 1})
		<-time.After(2 * time.Millisecond)
	}
}

func (c *churn) read(uid string) *gpuRecord { return c.d.readRecord(c.t, uid) }

// records lists the pods that have one.
func (c *churn) records() []string {
	entries, err := os.ReadDir(filepath.Join(c.d.data(), "records"))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		c.t.Errorf("list the records: %v", err)
	}
	var uids []string
	for _, entry := range entries {
		if uid, found := strings.CutSuffix(entry.Name(), ".json"); found && !strings.HasPrefix(entry.Name(), ".") {
			uids = append(uids, uid)
		}
	}
	return uids
}
