package config

// Reclaim says what becomes of the folder of a claim that no pod of this node uses.
type Reclaim string

// The values of PersistentVolumeReclaim.
const (
	ReclaimRetain Reclaim = "retain"
	ReclaimDelete Reclaim = "delete"
)

// Storage is what pods get for claims.
type Storage struct {
	// Root (PersistentVolumeRoot) has a folder for each claim that nothing else stands
	// for, NAMESPACE/CLAIM; absolute and cleaned, "" for none.
	Root string
	// Reclaim (PersistentVolumeReclaim) of such a folder.
	Reclaim Reclaim
}

func (c Config) validateStorage() error {
	s := c.Storage
	if s.Reclaim != ReclaimRetain && s.Reclaim != ReclaimDelete {
		return invalid("PersistentVolumeReclaim", string(s.Reclaim), "retain or delete")
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
