package volumes

import (
	"fmt"
	"path/filepath"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes/nfs"
)

// planNFS refuses servers that the operator has not named, and options that the sandbox
// cannot be given. options are those of a persistent volume.
func (p *plan) planNFS(v *volume, src *v1.NFSVolumeSource, options []string) {
	export, err := nfs.Export(src.Server, src.Path, src.ReadOnly, options)
	switch {
	case err != nil:
		p.refuse(v.field, "%v", err)
	case !nfs.Allowed(p.policy.NFSServers, src.Server):
		p.refuse(v.field, "this node does not mount from the server %s; ask its operator to add it to NFSServers", src.Server)
	case p.policy.NFSTrouble != "":
		p.refuse(v.field, "%s", p.policy.NFSTrouble)
	}
	v.export, v.readOnly = &export, v.readOnly || export.ReadOnly
}

// Export is an export of an NFS server that volumes of the pod show.
type Export struct {
	// Volume names the first of them, for messages.
	Volume string
	NFS    initapi.NFS
}

// Exports lists the exports that the sandbox's init has to mount before the pod's first
// container starts, each once.
func (s *Set) Exports() []Export {
	var out []Export
	seen := map[string]bool{}
	for _, name := range s.names {
		v := s.volumes[name]
		if v.export == nil || seen[v.export.Name] {
			continue
		}
		seen[v.export.Name] = true
		out = append(out, Export{Volume: fmt.Sprintf("volume %s", v.name), NFS: *v.export})
	}
	return out
}

// exportPath is where the sandbox's init mounts the export of a volume.
func exportPath(v *volume) string { return filepath.Join(initapi.NFSPath, v.export.Name) }
