package pool

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
)

// registryWith has booted sandboxes of these names, which see all of the host's images.
func registryWith(names ...string) *registry {
	r := newRegistry(shape{generation: "now"})
	for _, name := range names {
		r.booted(name, "now", 0)
	}
	return r
}

func wantState(t *testing.T, r *registry, name string, want state) {
	t.Helper()
	if got := r.state(name); got != want {
		t.Errorf("%s is %q, want %q", name, got, want)
	}
}

func wantNames(t *testing.T, what string, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s are %q, want %q", what, got, want)
	}
}

// meanings are all states, with what they mean for the sweep and for folders.
var meanings = map[state]struct{ owned, keepsFolder bool }{
	stateBooting: {true, true}, stateHolder: {true, true}, stateStandby: {true, true}, stateWarm: {true, true}, stateClaimed: {true, true},
	stateRemoving: {true, true}, stateReleased: {false, true}, stateStray: {false, true}, stateLeftover: {false, false},
}

func TestStates(t *testing.T) {
	for state, want := range meanings {
		if state.owned() != want.owned || state.keepsFolder() != want.keepsFolder {
			t.Errorf("%q is owned: %t, keeps its folder: %t, want %t and %t", state, state.owned(), state.keepsFolder(), want.owned, want.keepsFolder)
		}
	}
	if none := state(""); none.owned() || none.keepsFolder() {
		t.Error("a sandbox that is not known is owned, or keeps its folder")
	}
}

// TestStatesInDocs: the diagram in docs/architecture.md has every state, and no other.
func TestStatesInDocs(t *testing.T) {
	text, err := os.ReadFile("../../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	_, part, _ := strings.Cut(string(text), "## Life of a sandbox")
	part, _, _ = strings.Cut(part, "## After a crash")
	drawn := map[state]bool{}
	for _, match := range regexp.MustCompile(`(?m)^    (\S+) --> (\w+|\[\*\])`).FindAllStringSubmatch(part, -1) {
		for _, name := range match[1:] {
			drawn[state(strings.ToLower(name))] = name != "[*]"
		}
	}
	delete(drawn, "[*]")
	for state := range meanings {
		if !drawn[state] || !regexp.MustCompile(`(?m)^\| [a-z, ]*`+string(state)).MatchString(part) {
			t.Errorf("state %s is not in the diagram or not in the table", state)
		}
		delete(drawn, state)
	}
	for name := range drawn {
		t.Errorf("the diagram has %s, which is no state", name)
	}
}

// TestRegistryHandsOut: the first that sees all images, else the first, and none twice.
func TestRegistryHandsOut(t *testing.T) {
	r := registryWith("a", "b")
	if r.takeWarm() != nil {
		t.Error("a sandbox that is not warm was handed out")
	}
	for _, name := range []string{"a", "b"} {
		if !r.stock(&sandbox.Sandbox{Name: name}, 3) {
			t.Errorf("%s is not warm", name)
		}
	}
	r.imagesChanged()
	r.booted("c", "now", 1)
	if !r.stock(&sandbox.Sandbox{Name: "c"}, 3) || r.fresh() != 1 || r.count(stateWarm) != 3 {
		t.Errorf("%d are warm, %d of them fresh, want 3 and 1", r.count(stateWarm), r.fresh())
	}
	var order []string
	for s := r.takeWarm(); s != nil; s = r.takeWarm() {
		order = append(order, s.Name)
		wantState(t, r, s.Name, stateClaimed)
	}
	wantNames(t, "sandboxes handed out", order, "c", "a", "b")
}

// TestRegistryTakesBack: only what others can use, and no more than is wanted.
func TestRegistryTakesBack(t *testing.T) {
	r := registryWith("a", "b", "c")
	r.booted("other", "before", 0)
	r.set("unbooted", stateBooting)
	for name, want := range map[string]bool{"other": false, "unbooted": false, "unknown": false, "a": true} {
		if got := r.stock(&sandbox.Sandbox{Name: name}, 1); got != want {
			t.Errorf("stock(%s) = %t, want %t", name, got, want)
		}
	}
	if r.stock(&sandbox.Sandbox{Name: "b"}, 1) {
		t.Error("a second sandbox is warm in a pool of one")
	}
	if r.claim("other") || r.claim("unknown") || !r.claim("b") {
		t.Error("a claim got a sandbox of other settings, or none")
	}
	r.imagesChanged()
	if !r.stock(&sandbox.Sandbox{Name: "b"}, 2) || !r.stock(&sandbox.Sandbox{Name: "c"}, 2) || r.count(stateWarm) != 3 {
		t.Errorf("%d are warm, want the stale ones until there are fresh ones", r.count(stateWarm))
	}
	wantNames(t, "sandboxes too many", r.trim(1), "a", "b")
	wantState(t, r, "a", stateRemoving)
	wantState(t, r, "c", stateWarm)
}

// TestRegistryReshapes: nothing of other settings is handed out, and networks stay.
func TestRegistryReshapes(t *testing.T) {
	r := registryWith("warm", "claimed")
	r.stock(&sandbox.Sandbox{Name: "warm"}, 1)
	r.set("claimed", stateClaimed)
	added := []bool{r.add(entry{name: "standby", state: stateStandby, generation: "now"}, 1), r.add(entry{name: "holder", state: stateHolder}, 1),
		r.add(entry{name: "second", state: stateHolder}, 1), r.add(entry{name: "old", state: stateStandby, generation: "before"}, 9)}
	if !slices.Equal(added, []bool{true, true, false, false}) {
		t.Errorf("added: %v", added)
	}
	if outdated, changed := r.reshape(sandbox.Hardware{}, "now"); changed || outdated != nil {
		t.Errorf("the same settings make %q outdated", outdated)
	}
	outdated, changed := r.reshape(sandbox.Hardware{Runtime: "nvidia"}, "next")
	wantNames(t, "outdated sandboxes", outdated, "warm", "standby")
	if now := r.shape(); !changed || now.generation != "next" || now.hardware.Runtime != "nvidia" {
		t.Errorf("sandboxes are booted with %+v", now)
	}
	if e, found := r.take(stateStandby); found {
		t.Errorf("%s is taken", e.name)
	}
	if e, found := r.take(stateHolder); !found || e.name != "holder" || r.state("holder") != stateBooting {
		t.Errorf("no holder is taken: %+v", e)
	}
	wantState(t, r, "claimed", stateClaimed)
}

// TestRegistryOfTheDead: a warm sandbox is removed once, and a claimed one is its pod's.
func TestRegistryOfTheDead(t *testing.T) {
	s := &sandbox.Sandbox{Name: "a"}
	r := newRegistry(shape{generation: "now"})
	r.booted(s.Name, "now", 0)
	if r.lost(s) {
		t.Error("a booting sandbox is the pool's to remove")
	}
	r.stock(s, 1)
	if r.lost(&sandbox.Sandbox{Name: "a"}) {
		t.Error("a sandbox is lost for one of the same name that was found before")
	}
	if !r.lost(s) || r.lost(s) {
		t.Error("a warm sandbox is not removed, or twice")
	}
	r.add(entry{name: "b", state: stateHolder, id: "1"}, 2)
	r.add(entry{name: "c", state: stateHolder, id: "2"}, 2)
	wantNames(t, "dead holders", r.takeDead(stateHolder, map[string]bool{"1": false, "2": true}), "c")
	wantState(t, r, "b", stateHolder)
	wantState(t, r, "c", stateRemoving)
}

// TestRegistryOfStrays: one is as old as the time since it was seen, and forgotten when
// it is gone.
func TestRegistryOfStrays(t *testing.T) {
	r := newRegistry(shape{})
	for name, age := range map[string]time.Duration{"old": time.Hour, "young": time.Second, "to come": -time.Hour} {
		since := time.Since(r.stray(name, time.Now().Add(-age)))
		if since < 0 || since > 2*sweepPeriod || name == "old" && since < sweepPeriod {
			t.Errorf("a stray that is %s counts as %s old", name, since)
		}
		wantState(t, r, name, stateStray)
	}
	first := r.stray("old", time.Now())
	if again := r.stray("old", time.Now()); !again.Equal(first) {
		t.Errorf("it was first seen at %s, then at %s", first, again)
	}
	r.set("young", stateClaimed)
	r.forgetStrays(map[string]time.Time{"old": {}})
	wantState(t, r, "old", stateStray)
	wantState(t, r, "young", stateClaimed)
	wantState(t, r, "to come", "")
}

// TestRegistryReleases: only what has an owner loses all but its folder.
func TestRegistryReleases(t *testing.T) {
	r := registryWith("a")
	r.set("leftover", stateLeftover)
	for _, name := range []string{"a", "leftover", "unknown"} {
		r.release(name)
	}
	wantState(t, r, "a", stateReleased)
	wantState(t, r, "leftover", stateLeftover)
	wantState(t, r, "unknown", "")
	wantNames(t, "what the sweep removes", r.names(func(s state) bool { return s == stateLeftover }), "leftover")
	r.forget("leftover")
	wantState(t, r, "leftover", "")
}
