//go:build e2e

package e2e_test

import (
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// refusing is a registry that gives the refusals, and loses each layer once.
func refusing() func(http.ResponseWriter, *http.Request) bool {
	var lock sync.Mutex
	lost := map[string]bool{}
	return func(w http.ResponseWriter, r *http.Request) bool {
		if refusal, known := refusals[repository(r)]; known && strings.Contains(r.URL.Path, "/manifests/") {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(refusal.code)
			fmt.Fprint(w, refusal.body)
			return true
		}
		lock.Lock()
		defer lock.Unlock()
		if isBlob(r) && !lost[r.URL.Path] {
			lost[r.URL.Path] = true
			w.WriteHeader(http.StatusNotFound) // which an engine does not try again
			return true
		}
		return false
	}
}

// TestPullRefused: every refusal is shown with kubelet's reasons and a growing
// back-off, and is over when the registry gives in.
func TestPullRefused(t *testing.T) {
	t.Parallel()
	f := newFront(t, false)
	good := f.publish(t, "half", 4<<20)
	f.spoilWith(refusing())
	half := from(good.ref, v1.PullIfNotPresent)
	half.Name = "half"
	containers := []v1.Container{half}
	for name := range refusals {
		c := from(f.address+"/"+name+":1", v1.PullAlways)
		c.Name = name
		containers = append(containers, c)
	}
	p := sharedDaemon(t).run(t, newPod(containers...))
	reasons, delays := map[string]map[string]bool{}, map[string][]string{}
	period := regexp.MustCompile(`^back-off (\S+):`)
	p.waitFor("all reasons, and a second back-off", func(s podStatus) bool {
		again := 0
		for _, c := range s.Containers {
			w := c.State.Waiting
			if w == nil || w.Reason == "ContainerCreating" {
				continue
			}
			if reasons[c.Name] == nil {
				reasons[c.Name] = map[string]bool{}
			}
			reasons[c.Name][w.Reason] = true
			if refusal, known := refusals[c.Name]; known && (!strings.Contains(w.Message, refusal.words) || !strings.Contains(w.Message, c.Image)) {
				t.Fatalf("message of %s = %q, want %q and the image in it", c.Name, w.Message, refusal.words)
			}
			if found := period.FindStringSubmatch(w.Message); found != nil {
				if known := delays[c.Name]; len(known) == 0 || known[len(known)-1] != found[1] {
					delays[c.Name] = append(known, found[1])
				}
			}
			if len(delays[c.Name]) > 1 {
				again++
			}
		}
		return again == len(refusals) && s.Container("half").State.Terminated != nil
	})
	for name := range refusals {
		if !reasons[name]["ErrImagePull"] || !reasons[name]["ImagePullBackOff"] || delays[name][0] != "10s" || delays[name][1] != "20s" {
			t.Errorf("%s was shown as %v with delays %v", name, reasons[name], delays[name])
		}
	}
	if !reasons["half"]["ErrImagePull"] || !reasons["half"]["ImagePullBackOff"] {
		t.Errorf("a pull that failed half-way was shown as %v", reasons["half"])
	}
	// No sooner than the delays say: two tries each, and the half one's.
	for name := range refusals {
		if tries := f.count("", "/v2/"+name+"/manifests/"); tries > 6 {
			t.Errorf("%s was asked for %d times", name, tries)
		}
	}
}
