//go:build e2e

package parity

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/containerd/errdefs"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine/enginetest"
)

// side is one of the two engines, with what the calls of a case left behind for the next.
type side struct {
	*engine.Client
	image string
	ids   map[string]string
}

// run is a case on one side: what it returns is compared.
type run func(ctx context.Context, s *side) (any, error)

// row is a case. Rows build on each other.
type row struct {
	name string
	run  run
}

// label is on all that the test makes; prefix begins all names.
const (
	label  = "docker-sd.contract"
	prefix = "docker-sd-contract-"
)

// TestFakeIsLikeAnEngine runs one table of calls against the engine of enginetest and the
// real one. What they answer must be the same, as far as docker-sd can see.
func TestFakeIsLikeAnEngine(t *testing.T) {
	image := os.Getenv("DOCKER_SD_TEST_BUSYBOX")
	host, err := engine.Connect(os.Getenv("DOCKER_HOST"))
	if err != nil || image == "" {
		t.Fatalf("run this by tests/lab: %v", err)
	}
	t.Cleanup(func() { host.Close() })
	tidy := func(ctx context.Context) {
		if err := sweep(ctx, host); err != nil {
			t.Error(err)
		}
	}
	tidy(t.Context())
	t.Cleanup(func() { tidy(context.Background()) })
	pretended, err := engine.Connect(pretend(t, image).Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pretended.Close() })
	sides := []*side{{host, image, map[string]string{}}, {pretended, image, map[string]string{}}}
	for _, r := range slices.Concat(containers, processes, networks, volumes, images) {
		t.Run(r.name, func(t *testing.T) {
			var said [2]string
			for i, s := range sides {
				ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
				got, err := r.run(ctx, s)
				cancel()
				said[i] = fmt.Sprintf("%v, %s", got, class(err))
				t.Logf("%s (%v)", said[i], err)
			}
			if said[0] != said[1] {
				t.Errorf("the real engine: %s\nthe one in memory: %s", said[0], said[1])
			}
		})
	}
}

// pretend makes the engine in memory, which has programs for the commands of the table.
func pretend(t *testing.T, image string) *enginetest.Engine {
	e := enginetest.Start(t)
	e.AddImage(enginetest.Image{Tags: []string{image}, Cmd: []string{"sh"}, Size: 1 << 20,
		Files: map[string]string{"/etc/passwd": "root:x:0:0:root:/root:/bin/sh\n"}})
	e.Program("missing", nil)
	e.Program("cat", func(p *enginetest.Process) int { <-p.Done().Done(); return 137 }) // the first process has no signal handlers
	e.Program("sh", func(p *enginetest.Process) int {
		switch script := p.Argv[len(p.Argv)-1]; script {
		case obedient:
			if p.Signal() == "SIGKILL" {
				return 137
			}
			return 7
		case talk:
			_, _ = io.WriteString(p.Stdout, "one\ntwo\n")
			_, _ = io.WriteString(p.Stderr, "three\n")
			return 3
		default:
			code, _ := strconv.Atoi(script[len("exit "):])
			return code
		}
	})
	return e
}

// Scripts of the table's containers.
const (
	obedient = "trap 'exit 7' TERM; while :; do sleep 0.05; done"
	talk     = "echo one; echo two; sleep 0.1; echo three >&2; exit 3"
)

// class is that of an error, as callers tell errors apart.
func class(err error) string {
	for _, c := range []struct {
		name string
		is   func(error) bool
	}{
		{"not found", errdefs.IsNotFound}, {"conflict", errdefs.IsConflict}, {"invalid", errdefs.IsInvalidArgument},
		{"denied", errdefs.IsPermissionDenied}, {"unavailable", errdefs.IsUnavailable}, {"internal", errdefs.IsInternal},
	} {
		if c.is(err) {
			return c.name
		}
	}
	if err != nil {
		return "another error"
	}
	return "no error"
}

func sweep(ctx context.Context, c *engine.Client) error {
	found, err := c.List(ctx, label)
	if err != nil {
		return err
	}
	for _, one := range found {
		err = cmp.Or(err, c.Remove(ctx, one.ID))
	}
	networks, listed := c.ListNetworks(ctx, label)
	for _, n := range networks {
		err = cmp.Or(err, c.RemoveNetwork(ctx, n.ID))
	}
	return cmp.Or(err, listed, c.RemoveVolume(ctx, prefix+"volume"), c.DropImage(ctx, repository+":empty"), c.DropImage(ctx, repository+":other"))
}

// spec of a container with a script for its shell.
func (s *side) spec(name, script string) engine.Spec {
	return engine.Spec{Name: prefix + name, Image: s.image, Entrypoint: []string{"sh", "-c", script}, Network: "none", Labels: map[string]string{label: name}}
}

// make a container and remember its id.
func (s *side) make(ctx context.Context, name string, spec engine.Spec) error {
	id, err := s.Create(ctx, spec)
	s.ids[name] = id
	return err
}

// look at a container: what is the same on all engines.
func (s *side) look(ctx context.Context, nameOrID string) (any, error) {
	c, err := s.Inspect(ctx, nameOrID)
	if err != nil {
		return nil, err
	}
	var networks []string
	for name, ip := range c.IPs {
		networks = append(networks, fmt.Sprintf("%s (address %t)", name, ip != ""))
	}
	slices.Sort(networks)
	return fmt.Sprintf("%s %s %d oom=%t error=%t pid=%t started=%t finished=%t networks=%v %+v label=%v", c.Name, c.State.Status, c.State.ExitCode,
		c.State.OOMKilled, c.State.Error != "", c.State.PID != 0, !c.State.StartedAt.IsZero(), !c.State.FinishedAt.IsZero(), networks, c.Bounds, c.Labels[label]), nil
}
