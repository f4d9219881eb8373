package sandbox

import (
	"io/fs"
	"strings"
)

// Names of AppArmor profiles.
const (
	// AppArmorUnconfined is no profile, as the engine calls it.
	AppArmorUnconfined = "unconfined"
	// AppArmorSandbox is the profile that the packages bring for sandboxes.
	AppArmorSandbox = "docker-sd-sandbox"
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
