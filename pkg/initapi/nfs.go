package initapi

import (
	"context"
	"net/netip"
)

// OpNFS mounts an export of an NFS server, once. While an earlier call for a mount is
// under way, or its server does not answer, the error is KindAway.
const OpNFS = "nfs"

// NFSPath holds the mount points of exports.
const NFSPath = "/run/docker-sd/nfs"

// NFS is an export of a server, which the sandbox reaches by its own network.
type NFS struct {
	// Name of its mount point below NFSPath.
	Name string `json:"name"`
	// Server is a host name, which the sandbox looks up, or an address.
	Server string `json:"server"`
	// Path that the server exports.
	Path string `json:"path"`
	// ReadOnly, and Flags in the words of mount(8), are those of the mount.
	ReadOnly bool     `json:"readOnly,omitempty"`
	Flags    []string `json:"flags,omitempty"`
	// Options of the kernel's client, joined by commas, see nfs(5).
	Options string `json:"options,omitempty"`
}

// MayServe says whether an address can be that of another host.
func MayServe(address netip.Addr) bool {
	address = address.Unmap()
	return address.IsValid() && address.Zone() == "" && !address.IsLoopback() && !address.IsUnspecified() && !address.IsMulticast() &&
		!address.IsLinkLocalUnicast() && address != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// MountNFS mounts an export. One that is mounted is left as it is.
func (c *Client) MountNFS(ctx context.Context, export NFS) error {
	_, err := c.call(ctx, Request{Op: OpNFS, NFS: &export})
	return err
}
