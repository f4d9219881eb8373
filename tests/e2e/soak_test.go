//go:build e2e

package e2e_test

import (
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
)

var (
	soakFor  = flag.Duration("soak", 20*time.Second, "how long TestSoak disturbs docker-sd")
	soakSeed = flag.Uint64("soakseed", 1, "seed of TestSoak's choices")
)

// Of the daemon that is soaked: few enough for a small machine.
const (
	soakPool  = 2
	soakGPUs  = 4
	soakPods  = 6
	soakLanes = 3
)

// TestSoak creates and deletes pods, follows logs, and kills docker-sd, sandboxes
// and inner engines, all at random. No container of a pod that must not restart
// runs twice, whoever is left alone ends as it should, and afterwards there is no
// container, network, volume, mount, file, goroutine, descriptor or GPU more than
// at a fresh start. docker-sd itself is killed in the first half only, so that
// one process lives through the second.
func TestSoak(t *testing.T) {
	g := newFakeGPUs(t, soakGPUs)
	d := ownDaemon(t, soakPool, g.settings(map[string]any{"StandbySandboxes": soakPool, "GPUHoldDown": "1s"}))
	// The first pods open connections and make files that stay.
	d.churn(t, lanes)
	first := d.run(t, newPod(shell("c", "true")))
	first.waitPhase(v1.PodSucceeded)
	// A pod that is deleted sooner has no log to keep.
	eventually(t, runLimit, "the folder of kept logs is there", func() bool {
		_, err := os.Stat(filepath.Join(d.data(), "archive"))
		return err == nil
	}, nil)
	first.delete(0)
	d.waitIdle(t)
	mountsBefore, filesBefore, descriptorsBefore := d.mounts(t), d.ownFiles(t), d.descriptors(t)
	goroutinesBefore := d.goroutines(t)
	s := &soak{t: t, d: d, pods: map[string]*soakPod{}, live: map[string]*soakPod{}, volumes: map[string]bool{}, random: rand.New(rand.NewPCG(*soakSeed, 2))}
	s.run(*soakFor)
	s.deleteAll()
	t.Logf("seed %d, %s: %+v", *soakSeed, *soakFor, s.counts)
	if s.counts.forgotten > 1+s.counts.engines/10 {
		t.Errorf("%d ends were forgotten by %d engines that died", s.counts.forgotten, s.counts.engines)
	}

	d.waitIdle(t)
	left := d.warm(t)
	eventually(t, runLimit, "no more descriptors than before", func() bool {
		d.Close()
		return d.descriptors(t) <= descriptorsBefore+idleConnections
	}, func() string { return fmt.Sprintf("%d before, %d now", descriptorsBefore, d.descriptors(t)) })
	// What is made ahead may have a call of its own under way in one look, not for long.
	eventually(t, runLimit, "no more goroutines than before", func() bool {
		return len(more(goroutinesBefore, d.goroutines(t))) == 0
	}, func() string { return strings.Join(more(goroutinesBefore, d.goroutines(t)), ", ") })
	if diff := cmp.Diff(filesBefore, d.ownFiles(t)); diff != "" {
		t.Errorf("files (-before +after):\n%s", diff)
	}
	if after := d.mounts(t); len(after) > len(mountsBefore) {
		t.Errorf("mounts: %d before, now %d: %s", len(mountsBefore), len(after), strings.Join(after, "\n"))
	}
	s.wantNoVolumes(slices.Collect(maps.Values(left)))
	all := d.run(t, newPod(withGPUs(shell("c", gpuLook), soakGPUs)))
	if seen := g.seen(all.output()); len(seen) != soakGPUs {
		t.Errorf("the last pod sees %v, want all %d GPUs", seen, soakGPUs)
	}
}

// more names the places with more goroutines than before.
func more(before, now map[string]int) []string {
	var out []string
	for where, n := range now {
		if n > before[where] {
			out = append(out, fmt.Sprintf("%d of %s, %d before", n, where, before[where]))
		}
	}
	return out
}

// waitIdle waits until the pool is full and nothing else is left.
func (d *daemon) waitIdle(t *testing.T) {
	t.Helper()
	eventually(t, runLimit, "the daemon is idle", func() bool {
		left, err := d.leftovers(t.Context())
		return err == nil && len(left) == 0
	}, func() string {
		left, err := d.leftovers(t.Context())
		return fmt.Sprint(left, err)
	})
}

// mounts of this machine below the daemon's folder.
func (d *daemon) mounts(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for line := range strings.Lines(string(text)) {
		if strings.Contains(line, d.dir+"/") {
			out = append(out, strings.TrimSpace(line))
		}
	}
	return out
}

// soak is one run. Its goroutines report with Errorf only.
type soak struct {
	t      *testing.T
	d      *daemon
	random *rand.Rand // of the one goroutine that chooses

	mu sync.Mutex
	// pods may be picked; live are those and the ones that are being deleted.
	pods, live map[string]*soakPod
	volumes    map[string]bool
	counts     soakCounts
}

type soakCounts struct{ created, unanswered, deleted, checked, followed, daemons, sandboxes, engines, forgotten int }

// disturbEvery is the time between two kills. They come in turn, so that a short
// run has each of them.
const disturbEvery = 3 * time.Second

// run lets things happen until the time is over, a few at once.
func (s *soak) run(limit time.Duration) {
	began, disturbed := time.Now(), 0
	lanes := make(chan struct{}, soakLanes)
	var group sync.WaitGroup
	defer group.Wait()
	for time.Since(began) < limit && !s.t.Failed() {
		next := s.choose
		if time.Since(began) > time.Duration(disturbed+1)*disturbEvery {
			disturbances := []func() func(){s.killSandbox, s.killEngine}
			if time.Since(began) < limit/2 {
				disturbances = append(disturbances, s.killDaemon)
			}
			next = disturbances[disturbed%len(disturbances)]
			disturbed++
		}
		do := next()
		if do == nil {
			continue
		}
		lanes <- struct{}{}
		group.Go(func() {
			defer func() { <-lanes }()
			do()
		})
		// The pace of events, not a wait for one.
		<-time.After(time.Duration(20+s.random.IntN(200)) * time.Millisecond)
	}
}

func (s *soak) choose() func() {
	switch at := s.random.IntN(8); {
	case at < 3:
		return s.create()
	case at < 5:
		return s.deleteOne()
	case at < 7:
		return s.follow()
	}
	return s.look()
}

func (s *soak) count(n *int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*n++
}

// pick returns one of the pods, nil if there is none.
func (s *soak) pick() *soakPod {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.pods) == 0 {
		return nil
	}
	return s.pods[slices.Sorted(maps.Keys(s.pods))[s.random.IntN(len(s.pods))]]
}

// take is pick for somebody who deletes it.
func (s *soak) take() *soakPod {
	p := s.pick()
	if p != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.pods, string(p.pod.UID))
	}
	return p
}

func (s *soak) deleteAll() {
	for p := s.take(); p != nil; p = s.take() {
		s.end(p)
	}
}

// wantNoVolumes checks that of all volumes that were seen only those of warm
// sandboxes are left.
func (s *soak) wantNoVolumes(warm []hostContainer) {
	kept := volumes(warm)
	for name := range s.volumes {
		there, err := suite.engine.hasVolume(s.t.Context(), name)
		if err != nil {
			s.t.Fatal(err)
		}
		if there && !slices.Contains(kept, name) && !s.d.uses(s.t, name) {
			s.t.Errorf("volume %s is left", name)
		}
	}
}

// uses says whether a sandbox that is there has a volume.
func (d *daemon) uses(t *testing.T, volume string) bool {
	t.Helper()
	containers, err := suite.engine.containers(t.Context(), d.label())
	if err != nil {
		t.Fatal(err)
	}
	return slices.Contains(volumes(containers), volume)
}

// String is the pod in messages.
func (p *soakPod) String() string { return fmt.Sprintf("%s pod %s", p.kind, p.pod.UID) }
