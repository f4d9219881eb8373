//go:build e2e

package e2e_test

import (
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// cycles is how often a pod is created and deleted, lanes how many at a time.
const (
	cycles = 100
	lanes  = 4
)

// TestManyPodsLeaveNothing: after 100 pods there is no container, network,
// volume, file, descriptor, thread or goroutine more than before.
func TestManyPodsLeaveNothing(t *testing.T) { testPodsLeaveNothing(t, 3, 0, cycles) }

// TestPodsInHeldNetworksLeaveNothing is the same for pods whose sandboxes are booted in
// networks that were made ahead.
func TestPodsInHeldNetworksLeaveNothing(t *testing.T) { testPodsLeaveNothing(t, 0, 2, cycles/5) }

func testPodsLeaveNothing(t *testing.T, pool, holders, cycles int) {
	t.Helper()
	d := ownDaemon(t, pool, map[string]any{"NetworkHolders": holders})
	// The first pods open connections and files that stay.
	d.churn(t, lanes*2)
	d.waitWarm(t, pool)
	filesBefore, fdsBefore := d.ownFiles(t), d.descriptors(t)
	goroutinesBefore := d.goroutines(t)
	d.waitWarm(t, pool)

	used := d.churn(t, cycles)
	left := d.waitWarm(t, pool)
	if networks, err := suite.engine.networks(t.Context(), d.label()); err != nil || len(networks) != pool+holders {
		t.Errorf("%d networks for %d warm sandboxes and %d held ones, %v", len(networks), pool, holders, err)
	}
	kept := volumes(slices.Collect(maps.Values(left)))
	for name := range used {
		there, err := suite.engine.hasVolume(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		if there && !slices.Contains(kept, name) {
			t.Errorf("volume %s is left", name)
		}
	}
	if diff := cmp.Diff(filesBefore, d.ownFiles(t)); diff != "" {
		t.Errorf("files (-before +after):\n%s", diff)
	}
	eventually(t, runLimit, "no more descriptors than before", func() bool {
		d.Close()
		return d.descriptors(t) <= fdsBefore+idleConnections
	}, func() string { return fmt.Sprintf("%d before, %d now", fdsBefore, d.descriptors(t)) })
	after := d.goroutines(t)
	for where, n := range after {
		if n > goroutinesBefore[where] {
			t.Errorf("%d goroutines of %s, before the %d pods there were %d", n, where, cycles, goroutinesBefore[where])
		}
	}
}

// idleConnections to the engines may be open or not at any moment.
const idleConnections = 4

// churn creates, polls, reads, follows and deletes pods, and returns the names
// of the volumes that their sandboxes had.
func (d *daemon) churn(t *testing.T, n int) map[string]bool {
	t.Helper()
	var mu sync.Mutex
	used := map[string]bool{}
	var group sync.WaitGroup
	for lane := range lanes {
		group.Go(func() {
			for i := lane; i < n && !t.Failed(); i += lanes {
				names := d.cycle(t, i)
				mu.Lock()
				for _, name := range names {
					used[name] = true
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	return used
}

// cycle is one pod's life, as plain calls: a failed test must not be ended from
// another goroutine.
func (d *daemon) cycle(t *testing.T, i int) []string {
	pod := withVolume(newPod(shell("c", "echo "+fmt.Sprint(i)+"; "+untilStopped)), emptyDir(), "/vol")
	p := &podRun{t: t, d: d, pod: pod}
	code, text, err := d.call(t.Context(), http.MethodPost, "/create", encode(t, newCreate(pod)))
	if err != nil || code != http.StatusOK {
		t.Errorf("create %d was answered with %d %s: %v", i, code, text, err)
		return nil
	}
	p.jid = decodeCreate(t, pod, code, text).PodJID
	p.annotate()
	// Each third pod is deleted while it starts.
	if i%3 != 0 {
		p.waitRunning()
		body := p.follow(t.Context(), "c")
		if i%3 == 1 {
			body.Close() // a follower that leaves
		} else {
			defer body.Close() // one that the delete ends
		}
	}
	sandboxes, err := suite.engine.containers(t.Context(), d.label())
	if err != nil {
		t.Errorf("look at the sandboxes: %v", err)
	}
	p.delete(2)
	p.waitGone()
	return volumes(sandboxes)
}

// ownFiles are the daemon's files but those of warm sandboxes, whose names
// change, and of tombstones, which it keeps on purpose; sandboxes are counted.
func (d *daemon) ownFiles(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, sub := range []string{".", "records", "sandboxes"} {
		entries, err := os.ReadDir(filepath.Join(d.data(), sub))
		if err != nil {
			t.Fatal(err)
		}
		for i, entry := range entries {
			if strings.Contains(entry.Name(), "usage.json") {
				continue // one for all pods, from some seconds after the start, and then written anew
			}
			if sub == "sandboxes" {
				out = append(out, fmt.Sprintf("sandbox %d", i))
			} else {
				out = append(out, filepath.Join(sub, entry.Name()))
			}
		}
	}
	return out
}

func (d *daemon) descriptors(t *testing.T) int {
	t.Helper()
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", d.PID()))
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

var (
	// Number 0 is a thread that was idle when the signal came; not each dump has one.
	goroutineHead = regexp.MustCompile(`(?m)^goroutine [1-9][^\n]*\n(?:[^\n]+\n)*`)
	createdBy     = regexp.MustCompile(`(?m)^created by (\S+)`)
	// inGroup is what a goroutine of a group does.
	inGroup = regexp.MustCompile(`(?m)^(\S+)\([^\n]*\n[^\n]+\nsync\.\(\*WaitGroup\)\.Go\.func1`)
)

// goroutines counts the daemon's goroutines by where they began. It asks for the
// dump that the Go runtime writes on SIGQUIT, which ends the process, and starts
// it again.
func (d *daemon) goroutines(t *testing.T) map[string]int {
	t.Helper()
	d.Close()
	from := len(d.log.String())
	if err := d.signal(syscall.SIGQUIT); err != nil {
		t.Fatal(err)
	}
	out := map[string]int{}
	for _, stack := range goroutineHead.FindAllString(d.log.String()[from:], -1) {
		where := "main"
		if by := createdBy.FindStringSubmatch(stack); by != nil {
			where = by[1]
		}
		if does := inGroup.FindStringSubmatch(stack); does != nil {
			where = does[1]
		}
		// Connections to the engines come and go; descriptors bound them.
		if !strings.HasPrefix(where, "net/http.") {
			out[where]++
		}
	}
	if len(out) == 0 {
		t.Fatalf("no goroutines in the dump of %s: %s", runtime.Version(), d.log.Tail(20))
	}
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	d.waitReady(t)
	return out
}
