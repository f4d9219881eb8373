package podspec

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"
)

func userAndGroup(user, group *int64) string {
	switch {
	case user == nil:
		return "" // a group alone needs the image's user; see withGroup
	case group == nil:
		return strconv.FormatInt(*user, 10)
	}
	return strconv.FormatInt(*user, 10) + ":" + strconv.FormatInt(*group, 10)
}

// User completes the user of a container's spec once the image is known, and
// enforces runAsNonRoot. user is the spec's own, "" for the image's.
func User(pod *v1.Pod, c *v1.Container, user, imageUser string) (string, error) {
	user = withGroup(pod, c, user, imageUser)
	return user, checkNonRoot(pod, c, user, imageUser)
}

// withGroup completes the user for a pod that sets a group but no user.
func withGroup(pod *v1.Pod, c *v1.Container, user, imageUser string) string {
	var own, shared *int64
	if c.SecurityContext != nil {
		own = c.SecurityContext.RunAsGroup
	}
	if pod.Spec.SecurityContext != nil {
		shared = pod.Spec.SecurityContext.RunAsGroup
	}
	group := cmp.Or(own, shared)
	if user != "" || group == nil {
		return user
	}
	name, _, _ := strings.Cut(imageUser, ":")
	if name == "" {
		name = "0"
	}
	return name + ":" + strconv.FormatInt(*group, 10)
}

// checkNonRoot enforces runAsNonRoot as kubelet does, once the image is known.
func checkNonRoot(pod *v1.Pod, c *v1.Container, user, imageUser string) error {
	var own, shared *bool
	if c.SecurityContext != nil {
		own = c.SecurityContext.RunAsNonRoot
	}
	if pod.Spec.SecurityContext != nil {
		shared = pod.Spec.SecurityContext.RunAsNonRoot
	}
	if !ptr.Deref(cmp.Or(own, shared), false) {
		return nil
	}
	if user == "" {
		user = imageUser
	}
	name, _, _ := strings.Cut(user, ":")
	uid, err := strconv.ParseInt(name, 10, 64)
	switch {
	case name == "" || err == nil && uid == 0:
		return fmt.Errorf("container %s has runAsNonRoot and its image runs as root: set securityContext.runAsUser", c.Name)
	case err != nil:
		return fmt.Errorf("container %s has runAsNonRoot and its image has a non-numeric user %s: set securityContext.runAsUser", c.Name, name)
	}
	return nil
}
