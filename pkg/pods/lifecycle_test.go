package pods

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
)

var allStages = []stage{stageAdmitted, stageReplacing, stagePlaced, stageEnding, stageEnded, stageArchived, stageStopping, stageRemoving}

var allObservations = []observation{seenNothing, seenClaimed, seenCleared, seenRunning, seenFinished, seenReason, seenStopped,
	seenExited, seenReplaceable, seenLost, seenReleased}

// TestNext has each position once: what is done there, or "" where no pod comes.
func TestNext(t *testing.T) {
	// One line for each stage, in the order of allObservations.
	for at, want := range map[stage][]action{
		stageAdmitted:  {actionClaim, actionPlace, "", "", "", "", "", "", "", "", ""},
		stageReplacing: {actionClaim, actionClear, actionPlace, "", "", "", "", "", "", "", ""},
		stagePlaced: {actionFind, actionPlace, "", actionRun, actionEnd, actionCondemn, "", actionRecover,
			actionReplace, actionGiveUp, ""},
		stageEnding:   {actionFind, "", "", actionStop, "", "", actionEnd, "", actionGiveUp, actionGiveUp, ""},
		stageEnded:    {actionFind, "", "", actionArchive, "", "", "", actionFind, actionRest, actionRest, ""},
		stageArchived: {actionRelease, "", "", actionRelease, "", "", "", "", "", "", actionRest},
		stageStopping: {actionAsk, actionErase, "", actionStop, actionStop, actionStop, actionErase, actionErase,
			actionErase, actionErase, ""},
		stageRemoving: slices.Repeat([]action{actionErase}, len(allObservations)),
	} {
		for i, seen := range allObservations {
			if got := next(position{at, seen}); got != want[i] {
				t.Errorf("a pod that is %s with %q seen: next is %q, want %q", at, seen, got, want[i])
			}
		}
	}
}

// world is what there is beside the pod's goroutine: one pod's containers, in sandboxes
// that get lost, on a machine that loses docker-sd.
type world struct {
	dice *rand.Rand
	// on disk
	stage stage
	// in memory of this run
	seen observation
	// runs says that containers may run in the pod's sandbox, elsewhere that they may in
	// one that was lost.
	runs, elsewhere bool
	mayRepeat       bool
	ended           bool
	kept            bool
	erased          bool
	log             []string
}

// do is what the action's code does, seen from outside: what it does to the world, and
// what it observes. Faults come by chance.
func (w *world) do(t *testing.T, act action) {
	fails := w.dice.IntN(4) == 0
	switch act {
	case actionClaim:
		w.seen = seenClaimed
	case actionClear:
		w.elsewhere, w.seen = false, seenCleared
	case actionPlace:
		w.stage, w.seen = w.stage.reach(stagePlaced), seenRunning
	case actionFind, actionAsk, actionRecover:
		w.seen = seenRunning
		if fails {
			w.seen = seenLost
			if w.mayRepeat && act != actionAsk {
				w.seen = seenReplaceable
			}
		}
	case actionReplace:
		w.elsewhere, w.runs = w.elsewhere || w.runs, false
		w.stage, w.seen = stageReplacing, seenClaimed
	case actionRun:
		w.run(t)
	case actionCondemn:
		w.stage, w.seen = stageEnding, seenRunning
	case actionStop:
		w.runs, w.seen = false, seenStopped
	case actionGiveUp:
		w.runs, w.stage, w.ended, w.seen = false, stageEnded, true, seenLost
	case actionEnd:
		if w.runs || w.elsewhere {
			t.Errorf("containers run of a pod that is told to have ended: %v", w.log)
		}
		w.stage, w.ended, w.seen = stageEnded, true, seenRunning
	case actionArchive:
		w.stage, w.kept, w.seen = stageArchived, true, seenRunning
		if fails {
			w.stage, w.kept, w.seen = stageEnded, false, seenExited
		}
	case actionRelease:
		if !w.kept {
			t.Errorf("the sandbox was given up before its logs were kept: %v", w.log)
		}
		w.seen = seenReleased
	case actionErase:
		w.runs, w.elsewhere, w.erased = false, false, true
	case actionRest:
		if !w.ended {
			t.Errorf("a pod rests that has not ended: %v", w.log)
		}
	default:
		t.Fatalf("no action: %v", w.log)
	}
}

// run has the pod's containers run, and something happen meanwhile.
func (w *world) run(t *testing.T) {
	if w.elsewhere {
		t.Errorf("the pod runs twice: %v", w.log)
	}
	w.runs = true
	switch w.dice.IntN(4) {
	case 0:
		w.runs, w.seen = false, seenFinished
	case 1:
		w.seen = seenReason
	case 2:
		w.seen = seenExited
	default: // ends with docker-sd, or is deleted
		w.seen = seenRunning
	}
}

// TestLivesOfPods goes through lives at random, with a crash or a delete at any moment:
// none comes where no pod can be, none runs twice, each ends, and each position of the
// table is come by.
func TestLivesOfPods(t *testing.T) {
	visited := map[position]bool{}
	for seed := range uint64(20_000) {
		w := &world{dice: rand.New(rand.NewPCG(seed, 1)), stage: stageAdmitted, seen: seenClaimed}
		w.mayRepeat = w.dice.IntN(2) == 0
		if w.dice.IntN(2) == 0 {
			w.stage = stagePlaced // its claim was warm
		}
		steps := 0
		for ; !w.erased && !t.Failed() && steps < 1000; steps++ {
			at := position{w.stage, w.seen}
			if _, listed := transitions[at]; listed {
				visited[at] = true
			}
			w.log = append(w.log, fmt.Sprintf("%s, %s: %s", at.stage, at.seen, next(at)))
			switch chance := w.dice.IntN(20); {
			case chance == 0: // docker-sd crashes
				w.seen = seenNothing
			case chance == 1 && next(at) == actionPlace: // after the record, before the sandbox is there
				w.stage, w.seen = w.stage.reach(stagePlaced), seenNothing
			case chance < 3 || next(at) == actionRest: // a delete comes before the action, which it cuts short
				w.stage = w.stage.afterDelete()
			case chance < 5 && w.stage != stageAdmitted: // or while it is under way
				w.do(t, next(at))
				w.stage = w.stage.afterDelete()
			default:
				w.do(t, next(at))
			}
		}
		if steps == 1000 {
			t.Errorf("the life of a pod does not end: %v", w.log[:20])
		}
	}
	for at := range transitions {
		if !visited[at] {
			t.Errorf("no pod comes to %s with %q seen", at.stage, at.seen)
		}
	}
}

// TestAfterDelete: a delete leads to where containers are asked to stop if they may run,
// and nothing leads back.
func TestAfterDelete(t *testing.T) {
	for at, want := range map[stage]stage{
		stageAdmitted: stageRemoving, stageReplacing: stageRemoving, stagePlaced: stageStopping, stageEnding: stageStopping,
		stageEnded: stageRemoving, stageArchived: stageRemoving, stageStopping: stageStopping, stageRemoving: stageRemoving,
	} {
		got := at.afterDelete()
		if got != want || !got.deleting() {
			t.Errorf("a delete leads from %s to %s, want %s", at, got, want)
		}
		for _, later := range allStages {
			reached, free := got.reach(later), at.reach(later)
			if reached != got || !at.deleting() && free != later {
				t.Errorf("from %s a pod comes to %s, from %s to %s instead of %s", got, reached, at, free, later)
			}
		}
		if over := at == stageEnded || at == stageArchived; at.over() != over {
			t.Errorf("%s is over: %v", at, at.over())
		}
	}
}

var update = flag.Bool("update", false, "write the table of transitions into docs/architecture.md")

// TestTransitionsInDocs: docs/architecture.md has the table as it is.
func TestTransitionsInDocs(t *testing.T) {
	const file, begin, end = "../../docs/architecture.md", "<!-- transitions -->\n", "<!-- end -->"
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(content), begin)
	_, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("%s has no place for the table", file)
	}
	want := before + begin + "\n" + table() + "\n" + end + after
	if want == string(content) {
		return
	}
	if !*update {
		t.Fatalf("%s has another table, write it anew: go test ./pkg/pods -run TestTransitionsInDocs -update", file)
	}
	if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestDiagramInDocs: the diagram of docs/architecture.md has the stages, and each
// arrow for a delete leads where afterDelete does.
func TestDiagramInDocs(t *testing.T) {
	content, err := os.ReadFile("../../docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(content), "## Life of a pod")
	diagram, _, _ := strings.Cut(rest, "## ")
	for _, at := range allStages {
		if !strings.Contains(diagram, " "+string(at)) {
			t.Errorf("the diagram has no stage %s", at)
		}
		if arrow := fmt.Sprintf("%s --> %s: delete\n", at, at.afterDelete()); !at.deleting() && !strings.Contains(diagram, arrow) {
			t.Errorf("the diagram has no arrow %s", arrow)
		}
	}
}

// table has the transitions, a line for each stage and action.
func table() string {
	seen := map[stage]map[action][]string{}
	order := map[stage][]action{}
	for _, at := range allStages {
		seen[at] = map[action][]string{}
		for _, o := range allObservations {
			do := next(position{at, o})
			if do == "" || at == stageRemoving && o != seenNothing {
				continue
			}
			if len(seen[at][do]) == 0 {
				order[at] = append(order[at], do)
			}
			seen[at][do] = append(seen[at][do], string(o))
		}
	}
	var out strings.Builder
	out.WriteString("| stage | seen | next |\n|---|---|---|\n")
	for _, at := range allStages {
		for _, do := range order[at] {
			what := strings.Join(seen[at][do], ", ")
			if at == stageRemoving {
				what = "anything"
			}
			fmt.Fprintf(&out, "| %s | %s | %s |\n", at, what, do)
		}
	}
	return out.String()
}
