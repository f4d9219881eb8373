package podspec

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/moby/sys/user"
	v1 "k8s.io/api/core/v1"
	"k8s.io/utils/ptr"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
)

// Accounts are the users and the groups of an image.
type Accounts struct {
	users  []user.User
	groups []user.Group
}

// ParseAccounts reads /etc/passwd and /etc/group. Lines that are none are left out, as the
// C library does.
func ParseAccounts(passwd, group []byte) (Accounts, error) {
	users, err := user.ParsePasswd(bytes.NewReader(passwd))
	if err != nil {
		return Accounts{}, fmt.Errorf("read the users of an image: %w", err)
	}
	groups, err := user.ParseGroup(bytes.NewReader(group))
	if err != nil {
		return Accounts{}, fmt.Errorf("read the groups of an image: %w", err)
	}
	return Accounts{users, groups}, nil
}

// NeedsAccounts says whether the groups of a container need the accounts of its image. An
// engine gives a process the groups that /etc/group has for its user where no group
// is named, and only then; supplementalGroupsPolicy decides by itself. user is that of the
// container's spec, "" for the image's.
func NeedsAccounts(pod *v1.Pod, user, imageUser string) bool {
	return strings.Contains(cmp.Or(user, imageUser), ":") != isStrict(pod)
}

// isStrict says that processes get no groups but those that the pod names.
func isStrict(pod *v1.Pod) bool {
	_, shared := contexts(pod, &v1.Container{})
	return ptr.Deref(shared.SupplementalGroupsPolicy, "") == v1.SupplementalGroupsPolicyStrict
}

// Apply completes the user and the groups of a container's spec as supplementalGroupsPolicy
// says: with Merge the user's groups of the image are added, with Strict the user's first
// group is named, so that an engine adds none.
func (a Accounts) Apply(spec *engine.Spec, pod *v1.Pod, imageUser string) {
	who, _, named := strings.Cut(cmp.Or(spec.User, imageUser), ":")
	who = cmp.Or(who, "0")
	account := a.find(who)
	switch {
	case isStrict(pod) && !named && account != nil:
		spec.User = who + ":" + strconv.Itoa(account.Gid)
	case isStrict(pod) && !named && isNumber(who):
		spec.User = who + ":0"
	case !isStrict(pod) && account != nil:
		for _, g := range a.groups {
			gid := strconv.Itoa(g.Gid)
			// Not the user's own group, as with container runtimes.
			if g.Name != account.Name && slices.Contains(g.List, account.Name) && !slices.Contains(spec.GroupAdd, gid) {
				spec.GroupAdd = append(spec.GroupAdd, gid)
			}
		}
	}
}

// Identity is the user and the group of a process whose container has this user, NAME or UID
// with or without :GROUP; "" is root. What the image does not have is root's.
func (a Accounts) Identity(containerUser string) (uid, gid int) {
	who, group, named := strings.Cut(containerUser, ":")
	account := a.find(cmp.Or(who, "0"))
	if account != nil {
		uid, gid = account.Uid, account.Gid
	} else if isNumber(who) {
		uid, _ = strconv.Atoi(who) // it is a number
	}
	if !named {
		return uid, gid
	}
	if isNumber(group) {
		gid, _ = strconv.Atoi(group) // it is a number
		return uid, gid
	}
	for _, g := range a.groups {
		if g.Name == group {
			gid = g.Gid
		}
	}
	return uid, gid
}

// find returns the account of a user by name or number, nil if the image has none.
func (a Accounts) find(who string) *user.User {
	at := slices.IndexFunc(a.users, func(u user.User) bool {
		return u.Name == who || isNumber(who) && strconv.Itoa(u.Uid) == who
	})
	if at < 0 {
		return nil
	}
	return &a.users[at]
}

func isNumber(text string) bool {
	_, err := strconv.ParseUint(text, 10, 32)
	return err == nil
}
