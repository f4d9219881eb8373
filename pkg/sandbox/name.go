package sandbox

import (
	"strings"

	"github.com/google/uuid"
)

const (
	// nameSuffix of a sandbox's pool name (protocol 8.1).
	nameSuffix = "_dind"
	// standbySuffix is that of a container whose engine has not been started, so that
	// a list of containers shows as many warm sandboxes as there are.
	standbySuffix = "_standby"
	// holderSuffix is that of a container that holds a network.
	holderSuffix = "_network"
)

// NewName returns a name that no sandbox has.
func NewName() string { return uuid.NewString() + nameSuffix }

// IsName says whether a text can be a sandbox's name.
func IsName(name string) bool {
	id, found := strings.CutSuffix(name, nameSuffix)
	return found && uuid.Validate(id) == nil
}

// AssignedName is the name of the sandbox container of a pod (protocol 8.1).
func AssignedName(podUID string) string { return podUID + nameSuffix }

// StandbyName is that of a sandbox's container while it stands by.
func StandbyName(name string) string { return strings.TrimSuffix(name, nameSuffix) + standbySuffix }

// HolderName is that of the container that holds a sandbox's network.
func HolderName(name string) string { return strings.TrimSuffix(name, nameSuffix) + holderSuffix }

// NetworkName of a sandbox (protocol 8.1).
func NetworkName(sandbox string) string { return sandbox + "_network" }
