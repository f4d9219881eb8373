package containers

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
)

// HugePages are bounds in the words of the init.
func HugePages(pages []podspec.HugePages) []initapi.HugePages {
	var out []initapi.HugePages
	for _, p := range pages {
		out = append(out, initapi.HugePages{PageBytes: p.PageBytes, Bytes: p.Bytes})
	}
	return out
}

// amendmentOf is what a container gets beside what its engine gives it; ok is false for
// one that gets nothing.
func amendmentOf(r *runner) (out initapi.Amendment, ok bool) {
	out.AppArmor = podspec.AppArmorProfile(r.p.Spec, r.spec)
	out.HugePages = HugePages(podspec.ContainerHugePages(r.p.Spec, r.spec, r.p.Node))
	return out, out.AppArmor != "" || out.HugePages != nil
}

// makeAmendable has a container that is to be amended made by the runtime that does it. An
// AppArmor profile that cannot be had is a configError.
func makeAmendable(r *runner, spec *engine.Spec) error {
	a, ok := amendmentOf(r)
	if !ok {
		return nil
	}
	if spec.Runtime != "" {
		return &configError{err: fmt.Errorf("container %s: its devices need the runtime %s, and AppArmor profiles of type Localhost and huge pages another one: leave one of them out, or ask the operator of this node for another GPUStrategy",
			r.spec.Name, spec.Runtime)}
	}
	if a.AppArmor != "" {
		if err := profileThere(r.p.Node.AppArmorNamespace, a.AppArmor); err != nil {
			return &configError{fmt.Errorf("container %s: AppArmor profile %s %w", r.spec.Name, a.AppArmor, err), podstatus.ReasonCreate}
		}
	}
	spec.Runtime = initapi.AmendingRuntime
	return nil
}

// amend tells the sandbox what the container is to be given, before each start: what the
// sandbox was told goes with it.
func amend(ctx context.Context, r *runner, id string) error {
	a, ok := amendmentOf(r)
	if !ok {
		return nil
	}
	a.Container = id
	return r.s.Init.Amend(ctx, a)
}

// profileThere says whether containers can have a profile of this host. Its error goes on
// after the name of the profile.
func profileThere(namespace bool, name string) error {
	all, seen := sandbox.AppArmorProfiles(os.DirFS("/"))
	switch {
	case !seen:
		return errors.New("cannot be had: this node has no AppArmor, or docker-sd cannot see its profiles")
	case !sandbox.PodProfiles(all)[name]:
		return fmt.Errorf("is not loaded on this node: its operator has to load it into the namespace %s", sandbox.AppArmorNamespace)
	case !namespace:
		return errors.New("was loaded after docker-sd began: its operator has to restart docker-sd")
	}
	return nil
}
