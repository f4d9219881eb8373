package pods

import "github.com/intertwin-eu/interlink-docker-plugin/pkg/containers"

// sandboxRun runs the containers of a pod as long as the pod stays in one sandbox that
// runs, with what belongs to that: volumes, bounds, deadline and limits.
type sandboxRun struct {
	p       *pod
	stay    *containers.Stay
	volumes *containers.Volumes
}
