package sandbox

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

const (
	// longestBoot bounds a boot that advances, in multiples of BootTimeout.
	longestBoot = 10
	// leastAdvance is the part of BootTimeout for which the processes of a sandbox run
	// on a processor if its boot advances. An idle engine takes less than a tenth of that.
	leastAdvance = 100
)

// errStuck is the cause of the end of a boot that advances no more.
var errStuck = errors.New("its boot does not advance, or takes too long")

// advancing derives a context that ends when a sandbox has taken BootTimeout for its boot and
// does not advance, and after longestBoot of them in any case. A boot that is given up while it
// advances makes a slow host slower: the next one begins anew. Progress is processor time, by
// the word of the sandbox's init; an engine that was started more than once has crashed.
func (m *Maker) advancing(parent context.Context, name string) (context.Context, context.CancelFunc) {
	return advancing(parent, m.config.BootTimeout, name, m.config.Folder(name))
}

// advancing is that of whatever has an init with its socket in a folder.
func advancing(parent context.Context, timeout time.Duration, name, folder string) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancelCause(parent)
	over := make(chan struct{})
	go func() {
		defer close(over)
		init := initapi.NewClient(folder)
		tick := time.NewTicker(timeout)
		defer tick.Stop()
		var before time.Duration
		for range longestBoot {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			now, err := status(ctx, init)
			if err != nil || now.EngineStarts > 1 || now.Used-before < timeout/leastAdvance {
				break
			}
			before = now.Used
			log.G(ctx).WithField("sandbox", name).WithField("cpu", now.Used.Round(time.Millisecond)).
				Info("a sandbox takes longer than SandboxBootTimeout to boot, and advances")
		}
		cancel(errStuck)
	}()
	return ctx, func() { cancel(nil); <-over }
}

// status asks an init what its sandbox does.
func status(ctx context.Context, init *initapi.Client) (initapi.State, error) {
	ctx, cancel := context.WithTimeout(ctx, answerLimit)
	defer cancel()
	return init.Status(ctx)
}

// answerLimit is for an answer of a sandbox's init on a busy host.
const answerLimit = 20 * time.Second

// stuck gives the error of a boot in such a context the class of what does not answer,
// where it came of the end of the context.
func stuck(ctx context.Context, err error) error {
	if err != nil && errors.Is(context.Cause(ctx), errStuck) {
		return fmt.Errorf("%s: %w", err.Error(), errdefs.ErrUnavailable)
	}
	return err
}
