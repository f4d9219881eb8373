package preflight

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Confinement is what decides under which AppArmor profile sandboxes run.
type Confinement struct {
	// Engine says that the engine puts profiles on containers.
	Engine bool
	// Profiles are those that the kernel has, where Seen says that they can be seen.
	Profiles map[string]bool
	Seen     bool
	// Setting is SandboxAppArmorProfile, Privileged SandboxPrivileged.
	Setting    string
	Privileged bool
	// Ours is the profile that the packages bring.
	Ours string
}

// AppArmor names the profile of sandboxes, and says what to do where there could be one.
func AppArmor(c Confinement) Line {
	const name = "apparmor"
	load := "run apparmor_parser -r /etc/apparmor.d/" + c.Ours + ", then restart docker-sd"
	switch {
	case c.Privileged:
		return warn(name, "", "sandboxes run unconfined, because they are privileged")
	case c.Setting == "unconfined":
		return warn(name, "", "sandboxes run unconfined, as SandboxAppArmorProfile says")
	case !c.Engine && c.Setting != "auto":
		return warn(name, "", "sandboxes run unconfined: the engine puts no AppArmor profile on containers, and SandboxAppArmorProfile names %s", strconv.Quote(c.Setting))
	case !c.Engine:
		return ok(name, "not used: the engine puts no AppArmor profile on containers")
	case !c.Seen && c.Setting == "auto":
		return warn(name, "set SandboxAppArmorProfile: "+c.Ours+" if the host has loaded it",
			"sandboxes run unconfined: which profiles the kernel has cannot be seen from here")
	case !c.Seen:
		return ok(name, "sandboxes run under %s, if the kernel has it: that cannot be seen from here", c.Setting)
	case c.Setting == "auto" && !c.Profiles[c.Ours]:
		return warn(name, load, "sandboxes run unconfined: the kernel has no profile %s", c.Ours)
	case c.Setting == "auto":
		return ok(name, "sandboxes run under %s", c.Ours)
	case !c.Profiles[c.Setting]:
		return fail(name, "load it, or set SandboxAppArmorProfile: auto", "the kernel has no profile %s, and no sandbox starts", strconv.Quote(c.Setting))
	}
	return ok(name, "sandboxes run under %s", c.Setting)
}

// PodProfiles judges the profiles of type Localhost that pods may have: allowed are names, or
// patterns that end with *, and loaded those of the namespace. possible says that sandboxes
// can have any.
func PodProfiles(allowed []string, loaded map[string]bool, namespace string, possible bool) Line {
	const name = "apparmor profiles"
	if !possible {
		return warn(name, "leave AppArmorProfiles out", "pods cannot have the profiles of AppArmorProfiles: the engine has no AppArmor, its profiles cannot be seen from here, or sandboxes are privileged")
	}
	var missing []string
	for _, profile := range allowed {
		if !strings.HasSuffix(profile, "*") && !loaded[profile] {
			missing = append(missing, profile)
		}
	}
	load := "load them with apparmor_parser -r from files with profile :" + namespace + ":NAME, then restart docker-sd"
	switch {
	case len(loaded) == 0:
		return warn(name, load, "the AppArmor namespace %s has no profiles, containers with one of type Localhost wait", namespace)
	case len(missing) > 0:
		return warn(name, load, "the AppArmor namespace %s does not have %s, containers with it wait", namespace, strings.Join(missing, ", "))
	}
	return ok(name, "loaded for pods: %s", strings.Join(slices.Sorted(maps.Keys(loaded)), ", "))
}
