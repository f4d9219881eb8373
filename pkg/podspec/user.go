package podspec

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
)

// userAndGroup is a user as an engine takes it, "" for that of the image.
func userAndGroup(user, group *int64) string {
	switch {
	case user == nil:
		return "" // a group alone needs the image's user; see withGroup
	case group == nil:
		return strconv.FormatInt(*user, 10)
	}
	return strconv.FormatInt(*user, 10) + ":" + strconv.FormatInt(*group, 10)
}

// contexts are the security contexts of a container and of its pod, empty where there
// is none. What both set is the container's to say.
func contexts(pod *v1.Pod, c *v1.Container) (own v1.SecurityContext, shared v1.PodSecurityContext) {
	return ptr.Deref(c.SecurityContext, v1.SecurityContext{}), ptr.Deref(pod.Spec.SecurityContext, v1.PodSecurityContext{})
}

// User completes the user of a container's spec once the image is known, and
// enforces runAsNonRoot. user is the spec's own, "" for the image's.
func User(pod *v1.Pod, c *v1.Container, user, imageUser string) (string, error) {
	user = withGroup(pod, c, user, imageUser)
	return user, checkNonRoot(pod, c, user, imageUser)
}

// withGroup completes the user for a pod that sets a group but no user.
func withGroup(pod *v1.Pod, c *v1.Container, user, imageUser string) string {
	own, shared := contexts(pod, c)
	group := cmp.Or(own.RunAsGroup, shared.RunAsGroup)
	if user != "" || group == nil {
		return user
	}
	name, _, _ := strings.Cut(imageUser, ":")
	return cmp.Or(name, "0") + ":" + strconv.FormatInt(*group, 10)
}

// checkNonRoot enforces runAsNonRoot as kubelet does, once the image is known.
func checkNonRoot(pod *v1.Pod, c *v1.Container, user, imageUser string) error {
	own, shared := contexts(pod, c)
	if !ptr.Deref(cmp.Or(own.RunAsNonRoot, shared.RunAsNonRoot), false) {
		return nil
	}
	name, _, _ := strings.Cut(cmp.Or(user, imageUser), ":")
	uid, err := strconv.ParseInt(name, 10, 64)
	asked := cmp.Or(own.RunAsUser, shared.RunAsUser)
	switch {
	case asked != nil && *asked == 0:
		return fmt.Errorf("container %s has runAsNonRoot and runAsUser 0, which is root: set another user", c.Name)
	case name == "" || err == nil && uid == 0:
		return fmt.Errorf("container %s has runAsNonRoot and its image runs as root: set securityContext.runAsUser", c.Name)
	case err != nil:
		return fmt.Errorf("container %s has runAsNonRoot and its image has a non-numeric user %s: set securityContext.runAsUser", c.Name, name)
	}
	return nil
}
