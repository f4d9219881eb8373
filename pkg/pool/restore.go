package pool

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
)

// Adopt finds the named sandbox again after a restart of docker-sd. A stopped
// one is started: its pod's logs and exit codes are inside. ErrNotFound says
// that it is gone for good.
func (p *Pool) Adopt(ctx context.Context, name string) (*Sandbox, error) {
	found, err := p.host.List(ctx, engine.LabelInstance+"="+p.config.Instance, engine.LabelSandbox+"="+name)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("sandbox %s: %w", name, errdefs.ErrNotFound)
	}
	if err := p.host.Start(ctx, found[0].ID); err != nil {
		return nil, fmt.Errorf("start sandbox %s again: %w", name, err)
	}
	ctx, cancel := context.WithTimeout(ctx, p.config.BootTimeout)
	defer cancel()
	s, err := p.connect(ctx, name, found[0].ID)
	if err != nil {
		return nil, fmt.Errorf("adopt sandbox %s: %w", name, err)
	}
	p.markSubnet(s)
	return s, nil
}

func (p *Pool) markSubnet(s *Sandbox) {
	if address, err := netip.ParseAddr(s.IP); err == nil {
		p.subnets.claim(s.Name, address)
	}
}

// Restore puts the warm sandboxes of an earlier run back into the pool and
// removes what that run left half-made: everything with our label that no pod's
// record names (claimed). It must be called before Run.
func (p *Pool) Restore(ctx context.Context, claimed map[string]bool) error {
	label := engine.LabelInstance + "=" + p.config.Instance
	containers, err := p.host.List(ctx, label, engine.LabelSandbox)
	if err != nil {
		return fmt.Errorf("find earlier sandboxes: %w", err)
	}
	networks, err := p.host.ListNetworks(ctx, label, engine.LabelSandbox)
	if err != nil {
		return fmt.Errorf("find earlier networks: %w", err)
	}
	keep := map[string]bool{}
	for _, c := range containers {
		name := c.Labels[engine.LabelSandbox]
		if claimed[name] || p.rejoin(ctx, c) {
			keep[name] = true
		}
	}
	strays := map[string]bool{}
	for _, c := range containers {
		strays[c.Labels[engine.LabelSandbox]] = true
	}
	for _, n := range networks {
		strays[n.Labels[engine.LabelSandbox]] = true
	}
	var problems []error
	for name := range strays {
		if isPoolName(name) && !keep[name] && !claimed[name] {
			log.G(ctx).WithField("sandbox", name).Info("removing what an earlier run left")
			problems = append(problems, p.Destroy(ctx, name))
		}
	}
	problems = append(problems, p.sweepFolders(keep, claimed))
	return errors.Join(problems...)
}

// rejoin takes a running, never assigned sandbox back as warm.
func (p *Pool) rejoin(ctx context.Context, c engine.Container) bool {
	name := c.Labels[engine.LabelSandbox]
	if c.Name != name || c.State.Status != engine.StatusRunning || !isPoolName(name) ||
		c.Labels[engine.LabelGeneration] != p.generation || p.Stats().Warm >= p.config.Size {
		return false
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	s, err := p.connect(ctx, name, c.ID)
	if err != nil {
		log.G(ctx).WithField("sandbox", name).WithError(err).Warn("a sandbox of an earlier run does not answer")
		return false
	}
	p.markSubnet(s)
	p.mu.Lock()
	p.warm = append(p.warm, s)
	p.mu.Unlock()
	return true
}

// sweepFolders removes folders whose sandbox is neither kept nor claimed.
func (p *Pool) sweepFolders(keep, claimed map[string]bool) error {
	wanted := map[string]bool{}
	for _, names := range []map[string]bool{keep, claimed} {
		for name := range names {
			wanted[filepath.Base(p.folder(name))] = true
		}
	}
	entries, err := os.ReadDir(p.config.Dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	var problems []error
	for _, entry := range entries {
		if !wanted[entry.Name()] && !strings.HasPrefix(entry.Name(), ".") {
			problems = append(problems, os.RemoveAll(filepath.Join(p.config.Dir, entry.Name())))
		}
	}
	return errors.Join(append(problems, err)...)
}
