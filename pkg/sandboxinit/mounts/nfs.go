package mounts

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// resolveTime bounds how long the name of a server is looked up.
const resolveTime = 10 * time.Second

// Exports mounts exports of NFS servers by the sandbox's own network and in its own mounts,
// so that a server that hangs holds up nothing but its pod.
type Exports struct {
	// mounting is held while one is mounted, which takes as long as the server likes.
	mounting sync.Mutex
	// mount is mount(2).
	mount func(source, target, kind string, flags uintptr, data string) error
}

// NewExports has nothing mounted.
func NewExports() *Exports { return &Exports{mount: unix.Mount} }

// Add mounts an export unless it is mounted.
func (e *Exports) Add(n initapi.NFS) error {
	if !isName(n.Name) {
		return &initapi.Error{Kind: initapi.KindInvalid, Message: "the export has no name"}
	}
	target := filepath.Join(initapi.NFSPath, n.Name)
	if !e.mounting.TryLock() {
		return &initapi.Error{Kind: initapi.KindAway, Message: "an NFS server has not answered a mount yet"}
	}
	defer e.mounting.Unlock()
	if there, err := isMounted(target, "nfs"); err != nil || there {
		return err
	}
	address, err := serverAddress(n.Server)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(target, 0o755); err != nil {
		return err
	}
	return e.mountExport(n, address, clientAddress(address), target)
}

// serverAddress looks a server up. An address that is the sandbox's own is none.
func serverAddress(server string) (netip.Addr, error) {
	ctx, cancel := context.WithTimeout(context.Background(), resolveTime)
	defer cancel()
	found, err := net.DefaultResolver.LookupNetIP(ctx, "ip", server)
	if err != nil {
		return netip.Addr{}, &initapi.Error{Kind: initapi.KindAway, Message: fmt.Sprintf("the NFS server %s cannot be looked up: %v", server, err)}
	}
	for _, address := range found {
		if address = address.Unmap(); initapi.MayServe(address) {
			return address, nil
		}
	}
	return netip.Addr{}, &initapi.Error{Kind: initapi.KindOutside, Message: fmt.Sprintf("the NFS server %s has no address of another host", server)}
}

// clientAddress is the sandbox's own by which it reaches a server. Nothing is sent.
func clientAddress(server netip.Addr) string {
	conn, err := net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.AddrPortFrom(server, 2049)))
	if err != nil {
		return ""
	}
	defer conn.Close()
	local, _ := conn.LocalAddr().(*net.UDPAddr)
	return local.AddrPort().Addr().Unmap().String()
}

// versions are tried in turn where no option names one.
var versions = []string{"vers=4.2", "vers=4.1", "vers=4.0", "vers=3"}

// mountExport mounts an export with the options that the kernel's client needs of a program
// such as mount.nfs.
func (e *Exports) mountExport(n initapi.NFS, server netip.Addr, client, target string) error {
	source := n.Server + ":" + n.Path
	if strings.Contains(n.Server, ":") {
		source = "[" + n.Server + "]:" + n.Path
	}
	try := versions
	for option := range strings.SplitSeq(n.Options, ",") {
		if strings.HasPrefix(option, "vers=") {
			try = []string{""}
		}
	}
	var err error
	absent := false
	for _, version := range try {
		err = e.mount(source, target, "nfs", mountFlags(n), kernelOptions(n.Options, version, server, client))
		if !isOtherVersion(err) {
			break
		}
		absent = absent || errors.Is(err, unix.ENOENT)
	}
	if err != nil && absent {
		err = unix.ENOENT // not what an older version makes of it
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, unix.ENODEV):
		return &initapi.Error{Kind: initapi.KindFailed, Message: "this node's kernel has no NFS client; ask its operator to load the kernel's module nfs"}
	}
	return &initapi.Error{Kind: initapi.KindAway, Message: fmt.Sprintf("mount %s: %v", source, err)}
}

// isOtherVersion says that a server or the kernel may do better with an older version.
func isOtherVersion(err error) bool {
	for _, refusal := range []error{unix.EPROTONOSUPPORT, unix.EPROTO, unix.EINVAL, unix.ENOENT} {
		if errors.Is(err, refusal) {
			return true
		}
	}
	return false
}

// kernelOptions of a mount. With version 3 locks are kept here: the program that would keep
// them at the server does not run in a sandbox.
func kernelOptions(options, version string, server netip.Addr, client string) string {
	var out []string
	for _, part := range []string{version, options} {
		if part != "" {
			out = append(out, part)
		}
	}
	all := "," + strings.Join(out, ",") + ","
	if strings.Contains(all, ",vers=3,") && !strings.Contains(all, ",nolock,") {
		out = append(out, "nolock")
	}
	out = append(out, "addr="+server.String())
	if client != "" && !strings.Contains(all, ",vers=3,") {
		out = append(out, "clientaddr="+client)
	}
	return strings.Join(out, ",")
}

// mountFlags are those of mount(2). Devices of a server are none of this node's.
func mountFlags(n initapi.NFS) uintptr {
	flags := uintptr(unix.MS_NODEV)
	if n.ReadOnly {
		flags |= unix.MS_RDONLY
	}
	for _, name := range n.Flags {
		switch name {
		case "nosuid":
			flags |= unix.MS_NOSUID
		case "noexec":
			flags |= unix.MS_NOEXEC
		case "noatime":
			flags |= unix.MS_NOATIME
		case "nodiratime":
			flags |= unix.MS_NODIRATIME
		case "relatime":
			flags |= unix.MS_RELATIME
		case "strictatime":
			flags |= unix.MS_STRICTATIME
		}
	}
	return flags
}
