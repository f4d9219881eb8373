package sandboxinit

import (
	"os/exec"
	"strings"
	"testing"
	"time"
)

// TestUsed: the time of a process that runs counts, and that of one that has ended.
func TestUsed(t *testing.T) {
	const least = 100 * time.Millisecond
	before := used()
	busy := exec.CommandContext(t.Context(), "sh", "-c", "while :; do :; done")
	if err := busy.Start(); err != nil {
		t.Fatal(err)
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for used()-before < least {
		<-tick.C // the test's own limit ends this
	}
	_ = busy.Process.Kill() // it runs until then
	_ = busy.Wait()
	if now := used(); now-before < least {
		t.Errorf("after its end %s of a process are left", now-before)
	}
}

func TestParseStat_Ticks(t *testing.T) {
	fields := strings.Fields("S 7 8 9 0 -1 4194560 1 2 3 4 100 20 3000 400 20 0")
	for n, want := range map[int]int64{len(fields): 3520, 12: 100, 4: 0} {
		p := parseStat("42 (a ) b) " + strings.Join(fields[:n], " "))
		if p.ticks != want || p.parent != 7 || p.session != 9 {
			t.Errorf("%d fields: %+v, want %d ticks", n, p, want)
		}
	}
}
