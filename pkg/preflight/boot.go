package preflight

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
)

// Times are how long each phase of a sandbox took, in milliseconds.
type Times struct {
	Network int64 `json:"networkMillis"`
	Create  int64 `json:"createMillis"`
	Start   int64 `json:"startMillis"`
	// Ready is from the start until the sandbox's engine answers.
	Ready int64 `json:"readyMillis"`
	// Copy of an image into the sandbox, 0 where layers are shared.
	Copy int64 `json:"copyMillis,omitempty"`
	// Run of a container in it, from create to its end.
	Run    int64 `json:"runMillis"`
	Remove int64 `json:"removeMillis"`
}

// timed is the host's engine with a clock.
type timed struct {
	sandbox.HostEngine

	mu      sync.Mutex
	times   Times
	started time.Time
}

func (t *timed) measure(into *int64, began time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	*into = time.Since(began).Milliseconds()
	t.started = time.Now()
}

func (t *timed) CreateNetwork(ctx context.Context, spec engine.NetworkSpec) error {
	defer t.measure(&t.times.Network, time.Now())
	return t.HostEngine.CreateNetwork(ctx, spec)
}

func (t *timed) Create(ctx context.Context, spec engine.Spec) (string, error) {
	defer t.measure(&t.times.Create, time.Now())
	return t.HostEngine.Create(ctx, spec)
}

func (t *timed) Start(ctx context.Context, id string) error {
	defer t.measure(&t.times.Start, time.Now())
	return t.HostEngine.Start(ctx, id)
}

// Copier brings the sandbox image into a sandbox, where its layers are not shared.
type Copier func(ctx context.Context, into *engine.Client) (imageID string, err error)

// Boot boots a sandbox as docker-sd does, runs a container in it, and removes it
// again. The configuration's Instance and Dir must be of the check's own. looks are
// called while it is there.
func Boot(ctx context.Context, config pool.Config, host sandbox.HostEngine, bring Copier, looks ...func(*sandbox.Sandbox)) (Times, error) {
	clock := &timed{HostEngine: host}
	sandboxes := pool.New(config, clock)
	defer sandboxes.Close()
	if err := sandboxes.CheckInstance(ctx); err != nil {
		return Times{}, err
	}
	// What a check that was killed has left.
	if err := sandboxes.Restore(ctx); err != nil {
		return Times{}, err
	}
	var ran time.Time
	err := sandboxes.Try(ctx, sandbox.Hardware{}, func(ctx context.Context, s *sandbox.Sandbox) error {
		clock.measure(&clock.times.Ready, clock.started)
		defer func() { ran = time.Now() }()
		for _, look := range looks {
			look(s)
		}
		return runIn(ctx, s, bring, &clock.times)
	})
	if !ran.IsZero() {
		clock.times.Remove = time.Since(ran).Milliseconds()
	}
	return clock.times, err
}

// said is what the container in the sandbox writes.
const said = "docker-sd-check"

func runIn(ctx context.Context, s *sandbox.Sandbox, bring Copier, times *Times) error {
	image := s.Image
	if _, err := s.Engine.Image(ctx, image); err != nil {
		began := time.Now()
		if image, err = bring(ctx, s.Engine); err != nil {
			return fmt.Errorf("bring an image into the sandbox: %w", err)
		}
		times.Copy = time.Since(began).Milliseconds()
	}
	began := time.Now()
	out, err := Output(ctx, s.Engine, engine.Spec{Image: image, Entrypoint: []string{"/bin/sh", "-c", "echo " + said}, Network: "host"})
	times.Run = time.Since(began).Milliseconds()
	if err == nil && out != said {
		err = fmt.Errorf("it wrote %q", out)
	}
	if err != nil {
		return fmt.Errorf("run a container in the sandbox: %w", err)
	}
	return nil
}

// Containers is what Output needs of an engine.
type Containers interface {
	Create(context.Context, engine.Spec) (string, error)
	Start(context.Context, string) error
	Wait(context.Context, string) (engine.State, error)
	Logs(ctx context.Context, id string, options engine.LogOptions, out io.Writer) error
	Remove(context.Context, string) error
}

// removeTimeout bounds the removal of a container, also after an interrupt.
const removeTimeout = 20 * time.Second

// ExitError is of a container that ran and ended with another code than 0.
type ExitError struct {
	Code int
	// Said is what it wrote.
	Said string
}

// Error has the code and what the container wrote.
func (e *ExitError) Error() string { return fmt.Sprintf("it ended with code %d: %s", e.Code, e.Said) }

// Output runs a container to its end, removes it, and returns what it wrote. A
// code other than 0 is an ExitError.
func Output(ctx context.Context, e Containers, spec engine.Spec) (_ string, err error) {
	id, err := e.Create(ctx, spec)
	if err != nil {
		return "", err
	}
	defer func() {
		clean, cancel := context.WithTimeout(context.WithoutCancel(ctx), removeTimeout)
		defer cancel()
		err = errors.Join(err, e.Remove(clean, id))
	}()
	if err := e.Start(ctx, id); err != nil {
		return "", err
	}
	state, err := e.Wait(ctx, id)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	if err := e.Logs(ctx, id, engine.LogOptions{}, &out); err != nil {
		return "", err
	}
	text := strings.TrimSpace(out.String())
	if state.ExitCode != 0 {
		return text, &ExitError{Code: state.ExitCode, Said: text}
	}
	return text, nil
}

// NotBooted is for a boot that was not tried, since it would have waited for ever.
func NotBooted() Line {
	return fail("sandbox boot", "mend what the lines above have waited for", "not tried, because a folder of this host does not answer")
}

// slowBoot is far more than a boot takes where nothing is wrong; half a second
// is usual.
const slowBoot = 5 * time.Second

// Booted judges a boot.
func Booted(t Times, err error) Line {
	const name = "sandbox boot"
	if err != nil {
		return fail(name, "see the lines above; dockerd's last words are in the message", "a sandbox could not be booted, used and removed: %s", strings.Join(strings.Fields(err.Error()), " "))
	}
	phases := fmt.Sprintf("network %d ms, create %d ms, start %d ms, engine ready %d ms, container run %d ms, remove %d ms", t.Network, t.Create, t.Start, t.Ready, t.Run, t.Remove)
	if t.Copy > 0 {
		phases += fmt.Sprintf(", image copied %d ms", t.Copy)
	}
	if took := time.Duration(t.Network+t.Create+t.Start+t.Ready) * time.Millisecond; took > slowBoot {
		return warn(name, "look for a slow disk or a loaded host; a larger AVAILABLEDINDS hides it from pods", "a sandbox took %s to boot: %s", took, phases)
	}
	return ok(name, "%s", phases)
}
