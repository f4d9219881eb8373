package doctor

import (
	"context"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/machine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/preflight"
)

// hostPaths judges the folders of the host that pods may use, each for itself: one of them may
// be on a file system that does not answer.
func (p *examination) hostPaths(ctx context.Context, info engine.Info) {
	apart, ok := answer(ctx, p.probes, "host paths", func(context.Context) []error { return []error{p.setup.Apart(p.settings, info)} })
	switch {
	case !ok:
		p.hung = true
	case apart[0] != nil:
		p.probes.report.Add(preflight.Line{Name: "host paths", Verdict: preflight.Fail, Found: apart[0].Error(), Do: "docker-sd does not start with it: choose other folders for pods"})
		return
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
	for _, path := range machine.Outermost(paths) {
		there := p.probes.lines(ctx, "host path", func(context.Context) []preflight.Line {
			return []preflight.Line{preflight.HostPath(path, why[path], machine.Propagation(path) != "")}
		})
		p.hung = p.hung || !there
	}
	p.otherFolders(ctx)
}

// otherFolders judges those that docker-sd itself uses for pods.
func (p *examination) otherFolders(ctx context.Context) {
	if root := p.settings.SeccompProfileRoot; root != "" {
		p.probes.lines(ctx, "seccomp profiles", func(context.Context) []preflight.Line { return []preflight.Line{preflight.Profiles(root)} })
	}
	if path := p.settings.AccountingFile; path != "" {
		p.probes.lines(ctx, "accounting", func(context.Context) []preflight.Line { return []preflight.Line{preflight.Accounting(path)} })
	}
	if servers := p.settings.Storage.NFSServers; len(servers) > 0 {
		p.probes.report.Add(preflight.NFS(servers, machine.HasNFS(), p.settings.PodFirewall == config.PodFirewallDisabled))
	}
	if root := p.settings.Storage.Root; root != "" {
		there := p.probes.lines(ctx, "claims", func(context.Context) []preflight.Line {
			space, err := preflight.SpaceAt(root)
			return []preflight.Line{preflight.Claims(root, p.settings.Storage.Reclaim == config.ReclaimDelete, space, err)}
		})
		p.hung = p.hung || !there
	}
}
