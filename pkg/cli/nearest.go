package cli

import (
	"fmt"
	"strings"

	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/admin"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
)

// unknownPod says that there is no such pod, and which has a name like it. It is
// ErrNotFound.
func unknownPod(list []podstatus.View, name string) error {
	var offered []string
	for _, p := range admin.NearestPods(list, name) {
		offered = append(offered, p.Namespace+"/"+p.Name)
	}
	if len(offered) == 0 {
		return fmt.Errorf("docker-sd has no pod %q: docker-sd pods lists those that it has: %w", name, errdefs.ErrNotFound)
	}
	return fmt.Errorf("docker-sd has no pod %q: did you mean %s? %w", name, strings.Join(offered, " or "), errdefs.ErrNotFound)
}

// unknownContainer says that a pod has no such container, and which it has, the ones with a
// name like it first. It is ErrInvalidArgument.
func unknownContainer(p podstatus.View, name string) error {
	all := containersOf(p)
	if near := admin.Nearest(name, all); len(near) > 0 {
		return fmt.Errorf("pod %s/%s has no container %q: did you mean %s? It has %s: %w", p.Namespace, p.Name, name, strings.Join(near, " or "),
			strings.Join(all, ", "), errdefs.ErrInvalidArgument)
	}
	return fmt.Errorf("pod %s/%s has no container %q: it has %s: %w", p.Namespace, p.Name, name, strings.Join(all, ", "), errdefs.ErrInvalidArgument)
}
