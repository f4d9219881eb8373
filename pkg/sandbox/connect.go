package sandbox

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"golang.org/x/sync/errgroup"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// Connect returns the sandbox whose container runs, when its engine answers.
func (m *Maker) Connect(ctx context.Context, c engine.Container) (*Sandbox, error) {
	return m.connect(ctx, c.Labels[engine.LabelSandbox], c.ID, c.NetworkOf)
}

// connect waits until the engine of a started sandbox answers.
// holder is the container that has its network, "" if it has that itself.
func (m *Maker) connect(ctx context.Context, name, id, holder string) (_ *Sandbox, err error) {
	dir := m.config.Folder(name)
	inner, err := connectEngine(dir, m.config.Calls)
	if err != nil {
		return nil, err
	}
	s := &Sandbox{Name: name, ID: id, Dir: dir, Engine: inner, Init: initapi.NewClient(dir), holder: holder}
	s.running, s.end = context.WithCancel(context.Background())
	join, giveUp := context.WithCancel(ctx)
	var joining errgroup.Group
	unwatch := m.watcher.watch(s)
	defer func() {
		giveUp()
		if err != nil {
			unwatch()
			// The removal of the sandbox must not meet a call that is still under way for it.
			_ = joining.Wait() // err says why
			inner.Close()
		}
	}()
	var held engine.Container
	joining.Go(func() (err error) { held, err = m.join(join, name, id, holder); return err })
	if err := m.awaitEngine(ctx, s); err != nil {
		return nil, err
	}
	if err := joining.Wait(); err != nil {
		return nil, err
	}
	seen, err := m.host.Inspect(ctx, id)
	if err != nil {
		return nil, err
	}
	network := NetworkName(name)
	s.IP, s.Booted = cmp.Or(seen.IPs[network], held.IPs[network]), seen.Created
	s.Started, s.Stopped = seen.State.StartedAt, seen.State.FinishedAt
	s.Image, s.hostName = seen.ImageID, seen.Name
	s.bounds = seen.Bounds
	if m.config.StoreVolume != "" || m.config.StoreLayers != "" {
		s.Image = StoredName(seen.ImageID)
	}
	return s, nil
}

// awaitEngine returns when the engine of a sandbox answers.
func (m *Maker) awaitEngine(ctx context.Context, s *Sandbox) error {
	began := time.Now()
	// The socket is there before the engine, and a call waits at it until the engine is.
	asking, ended := context.WithCancel(ctx)
	defer ended()
	defer s.AfterGone(ended)()
	tick := time.NewTicker(readyPoll)
	defer tick.Stop()
	for s.Engine.Ping(asking) != nil {
		select {
		case <-ctx.Done():
			return fmt.Errorf("its engine did not answer within %s: %w%s", time.Since(began).Round(time.Second), context.Cause(ctx), m.lastWords(ctx, s.ID))
		case <-s.Gone():
			return fmt.Errorf("it ended while booting%s", m.lastWords(ctx, s.ID))
		case <-tick.C:
		}
	}
	return nil
}

// lastWords are the last lines of a sandbox's log, for the error message.
func (m *Maker) lastWords(ctx context.Context, id string) string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	var log bytes.Buffer
	if err := m.host.Logs(ctx, id, engine.LogOptions{Tail: 3}, &log); err != nil || log.Len() == 0 {
		return ""
	}
	return ": " + strings.Join(strings.Fields(log.String()), " ")
}

// join gives a sandbox its network, unless a holder has it, which it then returns.
// That takes as long as the boot of its engine, and so both are done at once.
func (m *Maker) join(ctx context.Context, name, id, holder string) (held engine.Container, err error) {
	if holder != "" {
		return m.held(ctx, holder)
	}
	return held, m.networks.join(ctx, name, id)
}

// held inspects a holder; its error is that of Holds.
func (m *Maker) held(ctx context.Context, id string) (engine.Container, error) {
	c, err := m.host.Inspect(ctx, id)
	if err == nil && c.State.Status != engine.StatusRunning {
		err = fmt.Errorf("the container that holds its network is %s: %w", c.State.Status, errdefs.ErrFailedPrecondition)
	}
	return c, err
}
