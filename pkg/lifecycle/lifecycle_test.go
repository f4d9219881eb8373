package lifecycle

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
)

var allStages = []Stage{StageAdmitted, StageReplacing, StagePlaced, StageEnding, StageEnded, StageArchived, StageStopping, StageRemoving}

var allObservations = []Observation{SeenNothing, SeenClaimed, SeenCleared, SeenOverdue, SeenRunning, SeenFinished, SeenReason, SeenStopped,
	SeenExited, SeenReplaceable, SeenLost, SeenReleased}

// TestNext has each position once: what is done there, or "" where no pod comes.
func TestNext(t *testing.T) {
	// One line for each stage, in the order of allObservations.
	for at, want := range map[Stage][]Action{
		StageAdmitted:  {ActionClaim, ActionPlace, "", ActionGiveBack, "", "", "", "", "", "", "", ""},
		StageReplacing: {ActionClaim, ActionClear, ActionPlace, ActionGiveBack, "", "", "", "", "", "", "", ""},
		StagePlaced: {ActionFind, ActionPlace, "", ActionGiveBack, ActionRun, ActionEnd, ActionRecordReason, "", ActionRecover,
			ActionReplace, ActionGiveUp, ""},
		StageEnding:   {ActionFind, "", "", "", ActionStop, "", "", ActionEnd, "", ActionGiveUp, ActionGiveUp, ""},
		StageEnded:    {ActionFind, "", "", "", ActionArchive, "", "", "", ActionFind, ActionRest, ActionRest, ""},
		StageArchived: {ActionRelease, "", "", "", ActionRelease, "", "", "", "", "", "", ActionRest},
		StageStopping: {ActionAsk, ActionErase, "", ActionErase, ActionStop, ActionStop, ActionStop, ActionErase, ActionErase,
			ActionErase, ActionErase, ""},
		StageRemoving: slices.Repeat([]Action{ActionErase}, len(allObservations)),
	} {
		for i, seen := range allObservations {
			if got := Next(Position{at, seen}); got != want[i] {
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
	stage Stage
	// in memory of this run
	seen Observation
	// runs says that containers may run in the pod's sandbox, elsewhere that they may in
	// one that was lost.
	runs, elsewhere bool
	mayRepeat       bool
	ended           bool
	kept            bool
	erased          bool
	// placeless says that the record names no sandbox any more.
	placeless bool
	log       []string
}

// do is what the action's code does, seen from outside: what it does to the world, and
// what it observes. Faults come by chance.
func (w *world) do(t *testing.T, act Action) {
	fails := w.dice.IntN(4) == 0
	switch act {
	case ActionClaim:
		w.seen = SeenClaimed
	case ActionClear:
		w.elsewhere, w.seen = false, SeenCleared
	case ActionPlace:
		w.place(fails)
	case ActionGiveBack:
		if w.runs || w.elsewhere {
			t.Errorf("a sandbox was given back in which the pod may run: %v", w.log)
		}
		w.stage, w.seen, w.placeless = w.stage.Reach(StageEnding), SeenLost, true
	case ActionFind, ActionAsk, ActionRecover:
		w.seen = SeenRunning
		if fails || w.placeless {
			w.seen = SeenLost
			if w.mayRepeat && act != ActionAsk {
				w.seen = SeenReplaceable
			}
		}
	case ActionReplace:
		w.elsewhere, w.runs = w.elsewhere || w.runs, false
		w.stage, w.seen = StageReplacing, SeenClaimed
	case ActionRun:
		w.run(t)
	case ActionRecordReason:
		w.stage, w.seen = StageEnding, SeenRunning
	case ActionStop:
		w.runs, w.seen = false, SeenStopped
	case ActionGiveUp:
		w.runs, w.stage, w.ended, w.seen = false, StageEnded, true, SeenLost
		if fails { // it may come back yet
			w.seen = SeenExited
		}
	case ActionEnd:
		if w.runs || w.elsewhere {
			t.Errorf("containers run of a pod that is told to have ended: %v", w.log)
		}
		w.stage, w.ended, w.seen = StageEnded, true, SeenRunning
	case ActionArchive:
		w.stage, w.kept, w.seen = StageArchived, true, SeenRunning
		if fails {
			w.stage, w.kept, w.seen = StageEnded, false, SeenExited
		}
	case ActionRelease:
		if !w.kept {
			t.Errorf("the sandbox was given up before its logs were kept: %v", w.log)
		}
		w.seen = SeenReleased
	case ActionErase:
		w.runs, w.elsewhere, w.erased = false, false, true
	case ActionRest:
		if !w.ended {
			t.Errorf("a pod rests that has not ended: %v", w.log)
		}
	default:
		t.Fatalf("no action: %v", w.log)
	}
}

// place gives the pod its sandbox, unless its deadline passes first.
func (w *world) place(overdue bool) {
	if overdue {
		w.seen = SeenOverdue
		return
	}
	w.stage, w.seen = w.stage.Reach(StagePlaced), SeenRunning
}

// run has the pod's containers run, and something happen meanwhile.
func (w *world) run(t *testing.T) {
	if w.elsewhere {
		t.Errorf("the pod runs twice: %v", w.log)
	}
	w.runs = true
	switch w.dice.IntN(4) {
	case 0:
		w.runs, w.seen = false, SeenFinished
	case 1:
		w.seen = SeenReason
	case 2:
		w.seen = SeenExited
	default: // ends with docker-sd, or is deleted
		w.seen = SeenRunning
	}
}

// TestLivesOfPods goes through lives at random, with a crash or a delete at any moment:
// none comes where no pod can be, none runs twice, each ends, and each position of the
// table is come by.
func TestLivesOfPods(t *testing.T) {
	visited := map[Position]bool{}
	for seed := range uint64(20_000) {
		w := &world{dice: rand.New(rand.NewPCG(seed, 1)), stage: StageAdmitted, seen: SeenClaimed}
		w.mayRepeat = w.dice.IntN(2) == 0
		if w.dice.IntN(2) == 0 {
			w.stage = StagePlaced // its claim was warm
		}
		steps := 0
		for ; !w.erased && !t.Failed() && steps < 1000; steps++ {
			at := Position{w.stage, w.seen}
			if _, listed := transitions[at]; listed {
				visited[at] = true
			}
			w.log = append(w.log, fmt.Sprintf("%s, %s: %s", at.Stage, at.Seen, Next(at)))
			switch chance := w.dice.IntN(20); {
			case chance == 0: // docker-sd crashes
				w.seen = SeenNothing
			case chance == 1 && Next(at) == ActionPlace: // after the record, before the sandbox is there
				w.stage, w.seen = w.stage.Reach(StagePlaced), SeenNothing
			case chance < 3 || Next(at) == ActionRest: // a delete comes before the action, which it cuts short
				w.stage = w.stage.AfterDelete()
			case chance < 5 && w.stage != StageAdmitted: // or while it is under way
				w.do(t, Next(at))
				w.stage = w.stage.AfterDelete()
			default:
				w.do(t, Next(at))
			}
		}
		if steps == 1000 {
			t.Errorf("the life of a pod does not end: %v", w.log[:20])
		}
	}
	for at := range transitions {
		if !visited[at] {
			t.Errorf("no pod comes to %s with %q seen", at.Stage, at.Seen)
		}
	}
}

// TestAfterDelete: a delete leads to where containers are asked to stop if they may run,
// and nothing leads back.
func TestAfterDelete(t *testing.T) {
	for at, want := range map[Stage]Stage{
		StageAdmitted: StageRemoving, StageReplacing: StageRemoving, StagePlaced: StageStopping, StageEnding: StageStopping,
		StageEnded: StageRemoving, StageArchived: StageRemoving, StageStopping: StageStopping, StageRemoving: StageRemoving,
	} {
		got := at.AfterDelete()
		if got != want || !got.Deleting() {
			t.Errorf("a delete leads from %s to %s, want %s", at, got, want)
		}
		for _, later := range allStages {
			reached, free := got.Reach(later), at.Reach(later)
			if reached != got || !at.Deleting() && free != later {
				t.Errorf("from %s a pod comes to %s, from %s to %s instead of %s", got, reached, at, free, later)
			}
		}
		if over := at == StageEnded || at == StageArchived; at.Over() != over {
			t.Errorf("%s is over: %v", at, at.Over())
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
		t.Fatalf("%s has another table, write it anew: go test ./pkg/lifecycle -run TestTransitionsInDocs -update", file)
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
		if arrow := fmt.Sprintf("%s --> %s: delete\n", at, at.AfterDelete()); !at.Deleting() && !strings.Contains(diagram, arrow) {
			t.Errorf("the diagram has no arrow %s", arrow)
		}
	}
}

// table has the transitions, a line for each stage and action.
func table() string {
	seen := map[Stage]map[Action][]string{}
	order := map[Stage][]Action{}
	for _, at := range allStages {
		seen[at] = map[Action][]string{}
		for _, o := range allObservations {
			do := Next(Position{at, o})
			if do == "" || at == StageRemoving && o != SeenNothing {
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
			if at == StageRemoving {
				what = "anything"
			}
			fmt.Fprintf(&out, "| %s | %s | %s |\n", at, what, do)
		}
	}
	return out.String()
}
