//go:build e2e

package e2e_test

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/creack/pty"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
)

// TestPullProgress: operators see how far a pull is, on the host and in a sandbox, until it
// is over.
func TestPullProgress(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		settings map[string]any
	}{
		{"on the host", nil},
		{"in the sandbox", map[string]any{"ImageSharing": "pull", "StandbySandboxes": 0}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			f := newFront(t, false)
			const size = 6 << 20
			image := f.publish(t, "progress", size)
			goOn := make(chan struct{})
			var cut atomic.Bool
			f.spoilWith(func(w http.ResponseWriter, r *http.Request) bool {
				if !isBlob(r) || cut.Load() {
					return false
				}
				once := &partial{ResponseWriter: w, limit: size / 2, stall: goOn}
				defer func() {
					if once.reached {
						cut.Store(true)
					}
				}()
				f.pass(once, r)
				return true
			})
			d := ownDaemon(t, 1, c.settings)
			if c.settings != nil {
				for id := range d.waitWarm(t, 1) {
					f.serveInside(t, id)
				}
			}
			p := d.run(t, newPod(from(image.ref, v1.PullIfNotPresent)))
			pull := func() *podstatus.Pull {
				list, err := d.operator(t).Pods(t.Context())
				if err != nil || len(list.Pods) != 1 {
					t.Fatalf("pods %+v, %v", list.Pods, err)
				}
				return list.Pods[0].Containers[0].Pull
			}
			eventually(t, runLimit, "the pull is half done", func() bool {
				now := pull()
				return now != nil && now.Total > size && now.Done >= size/4 && now.Done < now.Total && now.Percent > 20 && now.Percent < 80
			}, func() string { return d.log.Tail(20) })
			if out, _, code := d.command(t, "pods"); code != 0 || !strings.Contains(out, "pending (c: pulling [####") || !strings.Contains(out, "MB of ") {
				t.Errorf("docker-sd pods, code %d:\n%s", code, out)
			}
			looking := d.inTerminal(t, pty.Winsize{Rows: 24, Cols: 160}, "pods", "-w", "--interval", "200ms")
			looking.wait("pulling [####")
			close(goOn)
			looking.wait("succeeded")
			if got := p.output(); got != "hello\n" {
				t.Errorf("log = %q", got)
			}
			if now := pull(); now != nil {
				t.Errorf("after the pull: %+v", now)
			}
		})
	}
}
