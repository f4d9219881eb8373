// Package nfs decides which exports of NFS servers a pod may mount, and with which options.
package nfs

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/netip"
	"path"
	"slices"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// Allowed says whether the operator's list has a server: by its name, by its address, or by
// a range that its address is in. A name is not looked up for that.
func Allowed(list []string, server string) bool {
	address, err := netip.ParseAddr(server)
	return slices.ContainsFunc(list, func(entry string) bool {
		if prefix, err2 := netip.ParsePrefix(entry); err2 == nil {
			return err == nil && prefix.Contains(address.Unmap())
		}
		if one, err2 := netip.ParseAddr(entry); err2 == nil {
			return err == nil && one.Unmap() == address.Unmap()
		}
		return strings.EqualFold(entry, server)
	})
}

// Export describes the mount of an export for the sandbox's init. options are those of a
// persistent volume, in the words of mount(8) and nfs(5). The same export with the same
// options has the same name, and is mounted once.
func Export(server, exported string, readOnly bool, options []string) (initapi.NFS, error) {
	out := initapi.NFS{Server: server, Path: exported, ReadOnly: readOnly}
	if err := checkServer(server); err != nil {
		return out, err
	}
	if !path.IsAbs(exported) || slices.Contains(strings.Split(exported, "/"), "..") ||
		strings.ContainsFunc(exported, func(r rune) bool { return r < ' ' }) {
		return out, fmt.Errorf("path %s must be absolute and without .. in it", exported)
	}
	var data []string
	for _, option := range options {
		// An entry may hold several, as with kubelet.
		for one := range strings.SplitSeq(option, ",") {
			if one == "" {
				continue
			}
			if err := take(&out, &data, one); err != nil {
				return out, err
			}
		}
	}
	out.Options = strings.Join(data, ",")
	slices.Sort(out.Flags)
	out.Flags = slices.Compact(out.Flags)
	sum := sha256.Sum256(fmt.Appendf(nil, "%q %q %t %q %q", out.Server, out.Path, out.ReadOnly, out.Flags, out.Options))
	out.Name = hex.EncodeToString(sum[:8])
	return out, nil
}

// checkServer refuses what is no name and no address, and addresses that are the sandbox's
// own or no server's.
func checkServer(server string) error {
	address, err := netip.ParseAddr(server)
	if err != nil {
		if len(validation.IsDNS1123Subdomain(strings.ToLower(server))) > 0 {
			return fmt.Errorf("server %s is neither a host name nor an address", server)
		}
		return nil
	}
	if !initapi.MayServe(address) {
		return fmt.Errorf("server %s is not the address of another host", server)
	}
	return nil
}

// words is what becomes of an option.
type words struct {
	// flag of the mount, not of NFS; drop has no meaning for the kernel.
	flag, drop bool
	// values that it may have; nil means none, numbers has any number up to most.
	values []string
	most   int
}

// known options. Those that name other hosts or ports of the client, other transports, or
// keys that a sandbox does not have, are not among them.
var known = func() map[string]words {
	out := map[string]words{
		"vers":        {values: []string{"3", "4", "4.0", "4.1", "4.2"}},
		"proto":       {values: []string{"tcp", "tcp6"}},
		"sec":         {values: []string{"sys"}},
		"lookupcache": {values: []string{"all", "none", "pos", "positive"}},
		"local_lock":  {values: []string{"all", "flock", "posix", "none"}},
		"nconnect":    {most: 16},
		"port":        {most: 65535},
		"retry":       {drop: true, most: 10000},
	}
	out["nfsvers"] = out["vers"]
	for _, name := range []string{"timeo", "retrans", "rsize", "wsize", "acregmin", "acregmax", "acdirmin", "acdirmax", "actimeo"} {
		out[name] = words{most: 1 << 24}
	}
	for _, name := range []string{"hard", "soft", "softerr", "softreval", "nosoftreval", "ac", "noac", "cto", "nocto", "lock", "nolock",
		"rdirplus", "nordirplus", "resvport", "noresvport", "sharecache", "nosharecache", "tcp"} {
		out[name] = words{}
	}
	for _, name := range []string{"nosuid", "nodev", "noexec", "noatime", "nodiratime", "relatime", "strictatime"} {
		out[name] = words{flag: true}
	}
	for _, name := range []string{"defaults", "rw", "fg", "bg", "intr", "nointr", "_netdev", "auto", "noauto", "suid", "dev", "exec", "atime", "diratime"} {
		out[name] = words{drop: true}
	}
	return out
}()

// take adds one option.
func take(out *initapi.NFS, data *[]string, option string) error {
	name, value, valued := strings.Cut(option, "=")
	if option == "ro" {
		out.ReadOnly = true
		return nil
	}
	rule, ok := known[name]
	if !ok {
		return fmt.Errorf("mount option %s is not allowed on this node", name)
	}
	if err := rule.check(value, valued); err != nil {
		return fmt.Errorf("mount option %s: %w", name, err)
	}
	switch {
	case rule.drop:
	case rule.flag:
		out.Flags = append(out.Flags, name)
	case name == "nfsvers":
		*data = append(*data, "vers="+value)
	default:
		*data = append(*data, option)
	}
	return nil
}

func (w words) check(value string, valued bool) error {
	switch {
	case w.values != nil && !slices.Contains(w.values, value):
		return fmt.Errorf("its value is none of %s", strings.Join(w.values, ", "))
	case w.most > 0:
		if n, err := strconv.ParseUint(value, 10, 32); err != nil || n > uint64(w.most) {
			return fmt.Errorf("its value is no number up to %d", w.most)
		}
	case w.values == nil && valued:
		return errors.New("it has no value")
	}
	return nil
}
