// Package lifecycle is the life of a pod as a state machine: its stages, what docker-sd
// can see of it, what docker-sd does next, and the one table that says when. The package
// decides only; package pods keeps the stage on disk and carries the actions out.
package lifecycle

// Stage is how far a pod's life has come. It is in the pod's record, so it outlives
// docker-sd.
type Stage string

const (
	// StageAdmitted says that the pod is recorded. Its sandbox has a name and may not exist yet.
	StageAdmitted Stage = "admitted"
	// StageReplacing says that the pod's sandbox was lost and another one is to take its place.
	// Containers may run in the lost one.
	StageReplacing Stage = "replacing"
	// StagePlaced says that containers may run in the pod's sandbox.
	StagePlaced Stage = "placed"
	// StageEnding says that the pod is being ended and the record has the reason, such as a
	// deadline. Containers may run.
	StageEnding Stage = "ending"
	// StageEnded says that all containers have ended and the record has how.
	StageEnded Stage = "ended"
	// StageArchived says that the logs are files, so the sandbox is not needed any more.
	StageArchived Stage = "archived"
	// StageStopping says that the pod was deleted and containers may run.
	StageStopping Stage = "stopping"
	// StageRemoving says that the pod was deleted and none of its containers runs that could be
	// asked to stop.
	StageRemoving Stage = "removing"
)

// Deleting says that the pod is to leave nothing behind.
func (s Stage) Deleting() bool { return s == StageStopping || s == StageRemoving }

// Over says that the record has how all containers ended.
func (s Stage) Over() bool { return s == StageEnded || s == StageArchived }

// AfterDelete is the stage that a delete leads to.
func (s Stage) AfterDelete() Stage {
	if s == StagePlaced || s == StageEnding || s == StageStopping {
		return StageStopping
	}
	return StageRemoving
}

// Reach is the stage after the pod's goroutine has come to next. A delete may have
// come before it, and nothing undoes a delete.
func (s Stage) Reach(next Stage) Stage {
	if s.Deleting() {
		return s
	}
	return next
}

// Observation is what the pod's goroutine has learned of the pod's sandbox and of the
// containers in it. It is kept in memory only.
type Observation string

const (
	// SeenNothing says that the record is from an earlier run of docker-sd.
	SeenNothing Observation = "nothing"
	// SeenClaimed says that this run has claimed a sandbox and has not got it yet.
	SeenClaimed Observation = "claimed"
	// SeenCleared is seenClaimed, and the sandbox that is replaced is gone.
	SeenCleared Observation = "cleared"
	// SeenOverdue says that the pod's deadline passed before it got the sandbox that it claimed.
	SeenOverdue Observation = "overdue"
	// SeenRunning says that the sandbox runs.
	SeenRunning Observation = "running"
	// SeenFinished says that all containers have ended for good.
	SeenFinished Observation = "finished"
	// SeenReason says that there is a reason to end the pod, which is not in its record yet.
	SeenReason Observation = "reason"
	// SeenStopped says that the containers were stopped.
	SeenStopped Observation = "stopped"
	// SeenExited says that the sandbox has stopped.
	SeenExited Observation = "exited"
	// SeenReplaceable says that the sandbox is lost, and the pod may start over in another one.
	SeenReplaceable Observation = "replaceable"
	// SeenLost says that the sandbox is lost.
	SeenLost Observation = "lost"
	// SeenReleased says that the pod has given its sandbox up.
	SeenReleased Observation = "released"
)

// Action is what the pod's goroutine does next, in words for the log.
type Action string

// The actions. Package pods has one function for each.
const (
	ActionClaim        Action = "claim a sandbox"
	ActionClear        Action = "remove the lost sandbox"
	ActionPlace        Action = "wait for the claimed sandbox"
	ActionGiveBack     Action = "record the reason and give the claim back"
	ActionFind         Action = "find the sandbox"
	ActionAsk          Action = "ask once for the sandbox"
	ActionRecover      Action = "start the sandbox again"
	ActionReplace      Action = "record another sandbox"
	ActionRun          Action = "run the containers"
	ActionRecordReason Action = "record the reason"
	ActionStop         Action = "stop the containers"
	ActionGiveUp       Action = "remove the sandbox and record the end"
	ActionEnd          Action = "record the end"
	ActionArchive      Action = "keep the logs"
	ActionRelease      Action = "give the sandbox up"
	ActionRest         Action = "wait for the delete"
	ActionErase        Action = "remove all"
)

// Position is where a pod stands: what is on disk, and what was seen.
type Position struct {
	Stage Stage
	Seen  Observation
}

// transitions are the life of a pod. A position that is not listed cannot be reached,
// but for stageRemoving, in which nothing matters that was seen.
var transitions = map[Position]Action{
	// A claim that was warm is recorded as placed before its pod has it.
	{StageAdmitted, SeenNothing}: ActionClaim,
	{StageAdmitted, SeenClaimed}: ActionPlace,
	{StagePlaced, SeenClaimed}:   ActionPlace,
	{StageAdmitted, SeenOverdue}: ActionGiveBack,
	{StagePlaced, SeenOverdue}:   ActionGiveBack,

	{StagePlaced, SeenNothing}:     ActionFind,
	{StagePlaced, SeenRunning}:     ActionRun,
	{StagePlaced, SeenFinished}:    ActionEnd,
	{StagePlaced, SeenReason}:      ActionRecordReason,
	{StagePlaced, SeenExited}:      ActionRecover,
	{StagePlaced, SeenReplaceable}: ActionReplace,
	{StagePlaced, SeenLost}:        ActionGiveUp,

	// A pod never runs twice: the lost sandbox is gone before another one is used.
	{StageReplacing, SeenNothing}: ActionClaim,
	{StageReplacing, SeenClaimed}: ActionClear,
	{StageReplacing, SeenCleared}: ActionPlace,
	{StageReplacing, SeenOverdue}: ActionGiveBack,

	{StageEnding, SeenNothing}:     ActionFind,
	{StageEnding, SeenRunning}:     ActionStop,
	{StageEnding, SeenStopped}:     ActionEnd,
	{StageEnding, SeenReplaceable}: ActionGiveUp,
	{StageEnding, SeenLost}:        ActionGiveUp,

	{StageEnded, SeenNothing}:     ActionFind,
	{StageEnded, SeenRunning}:     ActionArchive,
	{StageEnded, SeenExited}:      ActionFind,
	{StageEnded, SeenReplaceable}: ActionRest,
	{StageEnded, SeenLost}:        ActionRest,

	{StageArchived, SeenNothing}:  ActionRelease,
	{StageArchived, SeenRunning}:  ActionRelease,
	{StageArchived, SeenReleased}: ActionRest,

	{StageStopping, SeenNothing}:     ActionAsk,
	{StageStopping, SeenClaimed}:     ActionErase,
	{StageStopping, SeenOverdue}:     ActionErase,
	{StageStopping, SeenRunning}:     ActionStop,
	{StageStopping, SeenFinished}:    ActionStop,
	{StageStopping, SeenReason}:      ActionStop,
	{StageStopping, SeenExited}:      ActionErase,
	{StageStopping, SeenStopped}:     ActionErase,
	{StageStopping, SeenReplaceable}: ActionErase,
	{StageStopping, SeenLost}:        ActionErase,
}

// Next is what a pod's goroutine does in a position.
func Next(at Position) Action {
	if at.Stage == StageRemoving {
		return ActionErase
	}
	return transitions[at]
}
