package doctor

import (
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/machine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/preflight"
)

// hostPaths judges the folders of the host that pods may use.
func (p *examination) hostPaths(info engine.Info) []preflight.Line {
	if err := p.setup.Apart(p.settings, info); err != nil {
		return []preflight.Line{{Name: "host paths", Verdict: preflight.Fail, Found: err.Error(), Do: "docker-sd does not start with it: choose other folders for pods"}}
	}
	why := map[string]string{}
	for claim, path := range p.settings.PersistentVolumeClaims {
		why[path] = "PersistentVolumeClaims " + claim
	}
	if p.settings.PersistentVolumeClaimsToCVMFS {
		why[machine.CVMFS] = "PersistentVolumeClaimsToCVMFS"
	}
	for _, path := range p.settings.HostPathPrefixes {
		why[path] = "HostPathPrefixes"
	}
	var paths []string
	for path := range why {
		paths = append(paths, path)
	}
	var lines []preflight.Line
	for _, path := range machine.Outermost(paths) {
		lines = append(lines, preflight.HostPath(path, why[path], machine.Propagation(path) != ""))
	}
	if root := p.settings.SeccompProfileRoot; root != "" {
		lines = append(lines, preflight.Profiles(root))
	}
	if path := p.settings.AccountingFile; path != "" {
		lines = append(lines, preflight.Accounting(path))
	}
	if servers := p.settings.Storage.NFSServers; len(servers) > 0 {
		lines = append(lines, preflight.NFS(servers, machine.HasNFS(), p.settings.PodFirewall == config.PodFirewallDisabled))
	}
	if root := p.settings.Storage.Root; root != "" {
		space, err := preflight.SpaceAt(root)
		lines = append(lines, preflight.Claims(root, p.settings.Storage.Reclaim == config.ReclaimDelete, space, err))
	}
	return lines
}
