package config

import (
	"net/netip"

	"k8s.io/apimachinery/pkg/util/validation"
)

// Reclaim says what becomes of the folder of a claim that no pod of this node uses.
type Reclaim string

// The values of PersistentVolumeReclaim.
const (
	ReclaimRetain Reclaim = "retain"
	ReclaimDelete Reclaim = "delete"
)

// Storage is what pods get for claims, and from where they may mount.
type Storage struct {
	// Root (PersistentVolumeRoot) has a folder for each claim that nothing else stands
	// for, NAMESPACE/CLAIM; absolute and cleaned, "" for none.
	Root string
	// Reclaim (PersistentVolumeReclaim) of such a folder.
	Reclaim Reclaim
	// NFSServers are the names, addresses and ranges of addresses of servers that pods may
	// mount from.
	NFSServers []string
}

func (c Config) validateStorage() error {
	s := c.Storage
	if s.Reclaim != ReclaimRetain && s.Reclaim != ReclaimDelete {
		return invalid("PersistentVolumeReclaim", string(s.Reclaim), "retain or delete")
	}
	for _, server := range s.NFSServers {
		_, noRange := netip.ParsePrefix(server)
		_, noAddress := netip.ParseAddr(server)
		if noRange != nil && noAddress != nil && len(validation.IsDNS1123Subdomain(server)) > 0 {
			return invalid("NFSServers", server, "a host name such as nfs.example.org, an address, or a range such as 192.0.2.0/24")
		}
	}
	if s.Root == "" {
		return nil
	}
	if c.PersistentVolumeClaimsToCVMFS {
		return invalid("PersistentVolumeRoot", s.Root, "without PersistentVolumeClaimsToCVMFS: a claim has a folder of its own or is taken for /cvmfs")
	}
	for _, path := range c.HostPathPrefixes {
		if within(path, s.Root) || within(s.Root, path) {
			return invalid("PersistentVolumeRoot", s.Root, "apart from HostPathPrefixes, which have "+path+": every pod could reach the data of all claims")
		}
	}
	return nil
}
