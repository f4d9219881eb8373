package gpu

// State is what a device is doing, as administrators see it.
type State string

// The states. A device that is in several of them shows the first of this list.
const (
	// StateHeld is held by a pod.
	StateHeld State = "held"
	// StateUnhealthy is out of use because of a fault.
	StateUnhealthy State = "unhealthy"
	// StateCordoned is kept back by docker-sd itself, see Ledger.Cordon.
	StateCordoned State = "set aside"
	// StateForeign is used on the host by something other than the pods that hold it.
	StateForeign State = "foreign use"
	// StateLost is held by a pod, but not found any more.
	StateLost State = "lost"
	// StatePartitioned is a GPU of which only the MIG instances are given out.
	StatePartitioned State = "partitioned"
	// StateFree can be given out.
	StateFree State = "free"
)
