package pods

// stage is how far a pod's life has come. It is in the pod's record, so it outlives
// docker-sd.
type stage string

const (
	// stageAdmitted: the pod is recorded. Its sandbox has a name and may not exist yet.
	stageAdmitted stage = "admitted"
	// stageReplacing: the pod's sandbox was lost and another one is to take its place.
	// Containers may run in the lost one.
	stageReplacing stage = "replacing"
	// stagePlaced: containers may run in the pod's sandbox.
	stagePlaced stage = "placed"
	// stageEnding: the pod is being ended and the record has the reason, such as a
	// deadline. Containers may run.
	stageEnding stage = "ending"
	// stageEnded: all containers have ended and the record has how.
	stageEnded stage = "ended"
	// stageArchived: the logs are files, so the sandbox is not needed any more.
	stageArchived stage = "archived"
	// stageStopping: the pod was deleted and containers may run.
	stageStopping stage = "stopping"
	// stageRemoving: the pod was deleted and none of its containers runs that could be
	// asked to stop.
	stageRemoving stage = "removing"
)

// deleting says that the pod is to leave nothing behind.
func (s stage) deleting() bool { return s == stageStopping || s == stageRemoving }

// over says that the record has how all containers ended.
func (s stage) over() bool { return s == stageEnded || s == stageArchived }

// afterDelete is the stage that a delete leads to.
func (s stage) afterDelete() stage {
	if s == stagePlaced || s == stageEnding || s == stageStopping {
		return stageStopping
	}
	return stageRemoving
}

// reach is the stage after the pod's goroutine has come to next. A delete may have
// come before it, and nothing undoes a delete.
func (s stage) reach(next stage) stage {
	if s.deleting() {
		return s
	}
	return next
}

// observation is what the pod's goroutine has learned of the pod's sandbox and of the
// containers in it. It is kept in memory only.
type observation string

const (
	// seenNothing: the record is from an earlier run of docker-sd.
	seenNothing observation = "nothing"
	// seenClaimed: this run has claimed a sandbox and has not got it yet.
	seenClaimed observation = "claimed"
	// seenCleared is seenClaimed, and the sandbox that is replaced is gone.
	seenCleared observation = "cleared"
	// seenRunning: the sandbox runs.
	seenRunning observation = "running"
	// seenFinished: all containers have ended for good.
	seenFinished observation = "finished"
	// seenReason: there is a reason to end the pod, which is not in its record yet.
	seenReason observation = "reason"
	// seenStopped: the containers were stopped.
	seenStopped observation = "stopped"
	// seenExited: the sandbox has stopped.
	seenExited observation = "exited"
	// seenReplaceable: the sandbox is lost, and the pod may start over in another one.
	seenReplaceable observation = "replaceable"
	// seenLost: the sandbox is lost.
	seenLost observation = "lost"
	// seenReleased: the pod has given its sandbox up.
	seenReleased observation = "released"
)

// action is what the pod's goroutine does next.
type action string

const (
	actionClaim   action = "claim a sandbox"
	actionClear   action = "remove the lost sandbox"
	actionPlace   action = "wait for the claimed sandbox"
	actionFind    action = "find the sandbox"
	actionAsk     action = "ask once for the sandbox"
	actionRecover action = "start the sandbox again"
	actionReplace action = "record another sandbox"
	actionRun     action = "run the containers"
	actionCondemn action = "record the reason"
	actionStop    action = "stop the containers"
	actionGiveUp  action = "remove the sandbox and record the end"
	actionEnd     action = "record the end"
	actionArchive action = "keep the logs"
	actionRelease action = "give the sandbox up"
	actionRest    action = "wait for the delete"
	actionErase   action = "remove all"
)

// position is where a pod stands: what is on disk, and what was seen.
type position struct {
	stage stage
	seen  observation
}

// transitions are the life of a pod. A position that is not listed cannot be reached,
// but for stageRemoving, in which nothing matters that was seen.
var transitions = map[position]action{
	// A claim that was warm is recorded as placed before its pod has it.
	{stageAdmitted, seenNothing}: actionClaim,
	{stageAdmitted, seenClaimed}: actionPlace,
	{stagePlaced, seenClaimed}:   actionPlace,

	{stagePlaced, seenNothing}:     actionFind,
	{stagePlaced, seenRunning}:     actionRun,
	{stagePlaced, seenFinished}:    actionEnd,
	{stagePlaced, seenReason}:      actionCondemn,
	{stagePlaced, seenExited}:      actionRecover,
	{stagePlaced, seenReplaceable}: actionReplace,
	{stagePlaced, seenLost}:        actionGiveUp,

	// A pod never runs twice: the lost sandbox is gone before another one is used.
	{stageReplacing, seenNothing}: actionClaim,
	{stageReplacing, seenClaimed}: actionClear,
	{stageReplacing, seenCleared}: actionPlace,

	{stageEnding, seenNothing}:     actionFind,
	{stageEnding, seenRunning}:     actionStop,
	{stageEnding, seenStopped}:     actionEnd,
	{stageEnding, seenReplaceable}: actionGiveUp,
	{stageEnding, seenLost}:        actionGiveUp,

	{stageEnded, seenNothing}:     actionFind,
	{stageEnded, seenRunning}:     actionArchive,
	{stageEnded, seenExited}:      actionFind,
	{stageEnded, seenReplaceable}: actionRest,
	{stageEnded, seenLost}:        actionRest,

	{stageArchived, seenNothing}:  actionRelease,
	{stageArchived, seenRunning}:  actionRelease,
	{stageArchived, seenReleased}: actionRest,

	{stageStopping, seenNothing}:     actionAsk,
	{stageStopping, seenClaimed}:     actionErase,
	{stageStopping, seenRunning}:     actionStop,
	{stageStopping, seenFinished}:    actionStop,
	{stageStopping, seenReason}:      actionStop,
	{stageStopping, seenExited}:      actionErase,
	{stageStopping, seenStopped}:     actionErase,
	{stageStopping, seenReplaceable}: actionErase,
	{stageStopping, seenLost}:        actionErase,
}

// next is what a pod's goroutine does in a position.
func next(at position) action {
	if at.stage == stageRemoving {
		return actionErase
	}
	return transitions[at]
}
