package sandbox

import (
	"cmp"
	"io/fs"
	"strings"
)

// Names of AppArmor profiles.
const (
	// AppArmorUnconfined is no profile, as the engine calls it.
	AppArmorUnconfined = "unconfined"
	// AppArmorSandbox is the profile that the packages bring for sandboxes.
	AppArmorSandbox = "docker-sd-sandbox"
	// AppArmorNamespace is the policy namespace of the profiles that pods may name. What
	// is in a sandbox sees these alone, itself without one, and can change to one of them
	// and never leave the profile of the sandbox, which holds beside it.
	AppArmorNamespace = "docker-sd"
)

// AppArmorProfiles returns the profiles that the kernel has, by the files below root,
// each once; ok is false where there is no AppArmor or it cannot be seen from here.
func AppArmorProfiles(root fs.FS) (names map[string]bool, ok bool) {
	list, err := fs.ReadFile(root, "sys/kernel/security/apparmor/profiles")
	if err != nil {
		return nil, false
	}
	names = map[string]bool{}
	for line := range strings.Lines(string(list)) {
		// NAME (MODE), and a name may have spaces.
		if at := strings.LastIndex(line, " ("); at > 0 {
			names[line[:at]] = true
		}
	}
	return names, true
}

// PodProfiles returns those of AppArmorNamespace, among the names of AppArmorProfiles.
func PodProfiles(names map[string]bool) map[string]bool {
	out := map[string]bool{}
	for name := range names {
		// Kernels write :NAMESPACE:NAME, and some :NAMESPACE://NAME.
		if own, ok := strings.CutPrefix(name, ":"+AppArmorNamespace+":"); ok {
			out[strings.TrimPrefix(own, "//")] = true
		}
	}
	return out
}

// WithNamespace is the profile of a sandbox whose containers can have profiles of
// AppArmorNamespace.
func WithNamespace(profile string) string {
	return cmp.Or(profile, AppArmorUnconfined) + "//&:" + AppArmorNamespace + ":" + AppArmorUnconfined
}

// AppArmorFor returns the profile of sandboxes; a setting of "" finds it: ours where
// the kernel has it.
func AppArmorFor(root fs.FS, setting string) string {
	if setting != "" {
		return setting
	}
	if names, _ := AppArmorProfiles(root); names[AppArmorSandbox] {
		return AppArmorSandbox
	}
	return AppArmorUnconfined
}
