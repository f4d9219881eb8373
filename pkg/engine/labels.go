package engine

// Labels on everything that docker-sd makes. They are the second witness beside
// the records: an object without our instance's label is never touched. A sandbox is
// made before its pod is known, and an engine changes no label: that witness of the
// pod is the name of its container (sandbox.AssignedName).
const (
	// LabelInstance names the docker-sd that made the object.
	LabelInstance = "docker-sd.instance"
	// LabelSandbox holds the sandbox's pool name on its container, its network and the
	// holder of that.
	LabelSandbox = "docker-sd.sandbox"
	// LabelHolder is on a container that does nothing but hold a sandbox's network.
	LabelHolder = "docker-sd.holder"
	// LabelGeneration is a digest of the settings that a sandbox was made with; a
	// warm one of other settings is not used again.
	LabelGeneration = "docker-sd.generation"
	// LabelFolder is the DataRootFolder of the docker-sd that made the object: one
	// name must not be used by two of them.
	LabelFolder = "docker-sd.folder"
	// LabelStore is on the container of docker-sd's own image store.
	LabelStore = "docker-sd.store"
	// LabelHold is the image that a container holds on the host.
	LabelHold = "docker-sd.hold"
	// LabelPodUID, LabelContainer and LabelAttempt identify a pod's container
	// inside its sandbox; the attempt counts restarts from 0.
	LabelPodUID    = "docker-sd.pod-uid"
	LabelContainer = "docker-sd.container"
	LabelAttempt   = "docker-sd.attempt"
)
