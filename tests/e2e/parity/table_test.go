//go:build e2e

package parity

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
)

// done is a case that has an error or none.
func done(do func(context.Context, *side) error) run {
	return func(ctx context.Context, s *side) (any, error) { return nil, do(ctx, s) }
}

// after is a case whose result is how a container looks then.
func after(name string, do func(context.Context, *side) error) run {
	return func(ctx context.Context, s *side) (any, error) {
		err := do(ctx, s)
		seen, lost := s.look(ctx, prefix+name)
		return fmt.Sprint(seen, " look: ", class(lost)), err
	}
}

var containers = []row{
	{"create", after("a", func(ctx context.Context, s *side) error { return s.make(ctx, "a", s.spec("a", obedient)) })},
	{"create of a name that is taken", done(func(ctx context.Context, s *side) error { _, err := s.Create(ctx, s.spec("a", obedient)); return err })},
	{"create once of a name that is taken", func(ctx context.Context, s *side) (any, error) {
		id, err := s.CreateOnce(ctx, s.spec("a", obedient))
		return id == s.ids["a"], err
	}},
	{"create of an image that is not there", done(func(ctx context.Context, s *side) error {
		spec := s.spec("b", obedient)
		spec.Image = repository + ":missing"
		_, err := s.Create(ctx, spec)
		return err
	})},
	{"create with a bad name", done(func(ctx context.Context, s *side) error {
		spec := s.spec("b", obedient)
		spec.Name = "/no/name"
		_, err := s.Create(ctx, spec)
		return err
	})},
	{"inspect of nothing", func(ctx context.Context, s *side) (any, error) { return s.look(ctx, prefix+"nothing") }},
	{"wait for a created one", after("a", func(ctx context.Context, s *side) error { _, err := s.Wait(ctx, s.ids["a"]); return err })},
	{"stop of a created one", after("a", func(ctx context.Context, s *side) error { return s.Stop(ctx, s.ids["a"], time.Second) })},
	{"start", after("a", func(ctx context.Context, s *side) error { return s.Start(ctx, s.ids["a"]) })},
	{"start again", after("a", func(ctx context.Context, s *side) error { return s.Start(ctx, s.ids["a"]) })},
	{"start of nothing", done(func(ctx context.Context, s *side) error { return s.Start(ctx, prefix+"nothing") })},
	{"update", after("a", func(ctx context.Context, s *side) error {
		return s.Update(ctx, s.ids["a"], engine.Bounds{CPUShares: 512})
	})},
	{"update of nothing", done(func(ctx context.Context, s *side) error {
		return s.Update(ctx, prefix+"nothing", engine.Bounds{CPUShares: 2})
	})},
	{"a file", func(ctx context.Context, s *side) (any, error) {
		text, err := engine.ReadFile(ctx, s.Client, s.ids["a"], "/etc/passwd", 4)
		return string(text), err
	}},
	{"a file that is not there", func(ctx context.Context, s *side) (any, error) {
		return engine.ReadFile(ctx, s.Client, s.ids["a"], "/etc/none", 4)
	}},
	{"stop", after("a", func(ctx context.Context, s *side) error { return s.Stop(ctx, s.ids["a"], 30*time.Second) })},
	{"stop again", after("a", func(ctx context.Context, s *side) error { return s.Stop(ctx, s.ids["a"], time.Second) })},
	{"stop of nothing", done(func(ctx context.Context, s *side) error { return s.Stop(ctx, prefix+"nothing", time.Second) })},
	{"start of a stopped one", after("a", func(ctx context.Context, s *side) error { return s.Start(ctx, s.ids["a"]) })},
	{"rename", after("renamed", func(ctx context.Context, s *side) error { return s.Rename(ctx, s.ids["a"], prefix+"renamed") })},
	{"rename to its own name", done(func(ctx context.Context, s *side) error { return s.Rename(ctx, s.ids["a"], prefix+"renamed") })},
	{"rename to a name that is taken", done(func(ctx context.Context, s *side) error {
		if err := s.make(ctx, "other", s.spec("other", obedient)); err != nil {
			return fmt.Errorf("make another: %s", err) //nolint:errorlint // its class is that of another call
		}
		return s.Rename(ctx, s.ids["other"], prefix+"renamed")
	})},
	{"list by label", func(ctx context.Context, s *side) (any, error) {
		found, err := s.List(ctx, label)
		var out []string
		for _, c := range found {
			out = append(out, fmt.Sprint(c.Name, c.State.Status, c.Labels[label]))
		}
		return out, err
	}},
	{"list by label and value", func(ctx context.Context, s *side) (any, error) {
		found, err := s.List(ctx, label+"=other")
		return len(found), err
	}},
	{"remove while it runs", done(func(ctx context.Context, s *side) error { return s.Remove(ctx, s.ids["a"]) })},
	{"remove of nothing", done(func(ctx context.Context, s *side) error { return s.Remove(ctx, s.ids["a"]) })},
	{"wait for nothing", done(func(ctx context.Context, s *side) error { _, err := s.Wait(ctx, s.ids["a"]); return err })},
}

// finish makes and starts a container and waits for its end.
func finish(ctx context.Context, s *side, name string, spec engine.Spec) error {
	if err := s.make(ctx, name, spec); err != nil {
		return err
	}
	if err := s.Start(ctx, s.ids[name]); err != nil {
		return err
	}
	_, err := s.Wait(ctx, s.ids[name])
	return err
}

// logs of a container by options.
func logs(name string, options engine.LogOptions) run {
	return func(ctx context.Context, s *side) (any, error) {
		var out bytes.Buffer
		err := s.Logs(ctx, s.ids[name], options, &out)
		return fmt.Sprintf("%q", out.String()), err
	}
}

// exec in a container.
func exec(name string, argv ...string) run {
	return func(ctx context.Context, s *side) (any, error) {
		var out bytes.Buffer
		code, err := s.Exec(ctx, s.ids[name], argv, &out)
		return fmt.Sprintf("%d %t", code, out.Len() > 0), err
	}
}

// overtime is an exec that runs out of time: whether its process is known.
func overtime(name string) run {
	return func(ctx context.Context, s *side) (any, error) {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_, err := s.Exec(ctx, s.ids[name], []string{"sh", "-c", obedient}, io.Discard)
		left := &engine.UnfinishedError{}
		return errors.As(err, &left) && left.PID > 1, nil
	}
}

var processes = []row{
	{"exit code", after("talk", func(ctx context.Context, s *side) error { return finish(ctx, s, "talk", s.spec("talk", talk)) })},
	{"logs", logs("talk", engine.LogOptions{})},
	{"the end of logs", logs("talk", engine.LogOptions{Tail: 2})},
	{"logs until the end", logs("talk", engine.LogOptions{Follow: true})},
	{"logs since later", logs("talk", engine.LogOptions{Since: time.Now().Add(time.Hour)})},
	{"time stamps of logs", func(ctx context.Context, s *side) (any, error) {
		var out bytes.Buffer
		err := s.Logs(ctx, s.ids["talk"], engine.LogOptions{Timestamps: true, Tail: 1}, &out)
		stamp, text, _ := strings.Cut(out.String(), " ")
		at, bad := time.Parse(time.RFC3339Nano, stamp)
		return fmt.Sprint(text, time.Since(at) < time.Hour, bad), err
	}},
	{"logs of nothing", logs("a", engine.LogOptions{})},
	{"logs of a terminal", func(ctx context.Context, s *side) (any, error) {
		spec := s.spec("tty", talk)
		spec.TTY = true
		if err := finish(ctx, s, "tty", spec); err != nil {
			return nil, err
		}
		return logs("tty", engine.LogOptions{TTY: true})(ctx, s)
	}},
	{"logs of one that does not run yet", logs("other", engine.LogOptions{Follow: true})},
	{"a command that is missing", after("missing", func(ctx context.Context, s *side) error {
		spec := s.spec("missing", "")
		spec.Entrypoint = []string{"missing"}
		return finish(ctx, s, "missing", spec)
	})},
	{"one that ignores its stop signal", after("deaf", func(ctx context.Context, s *side) error {
		spec := s.spec("deaf", "")
		spec.Entrypoint, spec.Stdin = []string{"cat"}, true
		return errors.Join(s.make(ctx, "deaf", spec), s.Start(ctx, s.ids["deaf"]), s.Stop(ctx, s.ids["deaf"], 0))
	})},
	{"exec in one that has ended", exec("deaf", "true")},
	{"exec", func(ctx context.Context, s *side) (any, error) {
		if err := s.Start(ctx, s.ids["deaf"]); err != nil {
			return nil, err
		}
		return exec("deaf", "true")(ctx, s)
	}},
	{"exec that runs out of time", overtime("deaf")},
	{"exec that fails", exec("deaf", "sh", "-c", "exit 4")},
	{"exec with output", exec("deaf", "sh", "-c", talk)},
	{"exec of a command that is missing", exec("deaf", "missing")},
	{"exec in nothing", exec("a", "true")},
	{"out of memory: no", func(ctx context.Context, s *side) (any, error) {
		return s.RanOutOfMemory(ctx, s.ids["talk"], time.Now().Add(-time.Hour), 0)
	}},
	{"written bytes", func(ctx context.Context, s *side) (any, error) { return s.WrittenBytes(ctx, s.ids["talk"]) }},
	{"written bytes of nothing", func(ctx context.Context, s *side) (any, error) { return s.WrittenBytes(ctx, s.ids["a"]) }},
}

// subnet that no network of the host is likely to have.
const subnet = "10.203.113.0/28"

func network(name, subnet string) engine.NetworkSpec {
	return engine.NetworkSpec{Name: prefix + name, Subnet: subnet, Labels: map[string]string{label: name}}
}

var networks = []row{
	{"create a network", done(func(ctx context.Context, s *side) error { return s.CreateNetwork(ctx, network("n", subnet)) })},
	{"a network's name that is taken", done(func(ctx context.Context, s *side) error { return s.CreateNetwork(ctx, network("n", "10.203.114.0/28")) })},
	{"a subnet that is taken", done(func(ctx context.Context, s *side) error { return s.CreateNetwork(ctx, network("m", subnet)) })},
	{"an interface that is taken", func(ctx context.Context, s *side) (any, error) {
		first, second := network("p", "10.203.115.0/28"), network("q", "10.203.116.0/28")
		first.Bridge, second.Bridge = "contract0", "contract0"
		if err := s.CreateNetwork(ctx, first); err != nil {
			return "the first one", err
		}
		return nil, s.CreateNetwork(ctx, second)
	}},
	{"list networks", func(ctx context.Context, s *side) (any, error) {
		found, err := s.ListNetworks(ctx, label)
		var out []string
		for _, n := range found {
			out = append(out, fmt.Sprint(n.Name, n.Labels, n.Subnet, strings.HasPrefix(n.Bridge, "br-"), !n.Created.IsZero()))
		}
		slices.Sort(out)
		return out, err
	}},
	{"start in a network that is missing", after("lost", func(ctx context.Context, s *side) error {
		spec := s.spec("lost", obedient)
		spec.Network = prefix + "missing"
		return errors.Join(s.make(ctx, "lost", spec), s.Start(ctx, s.ids["lost"]))
	})},
	{"start in a network", after("in", func(ctx context.Context, s *side) error {
		spec := s.spec("in", obedient)
		spec.Network = prefix + "n"
		return errors.Join(s.make(ctx, "in", spec), s.Start(ctx, s.ids["in"]))
	})},
	{"join", after("deaf", func(ctx context.Context, s *side) error { return s.Join(ctx, prefix+"n", s.ids["deaf"]) })},
	{"join again", after("deaf", func(ctx context.Context, s *side) error { return s.Join(ctx, prefix+"n", s.ids["deaf"]) })},
	{"join a network that is missing", done(func(ctx context.Context, s *side) error { return s.Join(ctx, prefix+"missing", s.ids["deaf"]) })},
	{"join the host's network", done(func(ctx context.Context, s *side) error { return s.Join(ctx, "host", s.ids["deaf"]) })},
	{"join of nothing", done(func(ctx context.Context, s *side) error { return s.Join(ctx, prefix+"n", s.ids["a"]) })},
	{"share a network", after("guest", func(ctx context.Context, s *side) error {
		spec := s.spec("guest", obedient)
		spec.Network = "container:" + s.ids["in"]
		return errors.Join(s.make(ctx, "guest", spec), s.Start(ctx, s.ids["guest"]))
	})},
	{"join of a guest", done(func(ctx context.Context, s *side) error { return s.Join(ctx, prefix+"n", s.ids["guest"]) })},
	{"remove a network in use", done(func(ctx context.Context, s *side) error { return s.RemoveNetwork(ctx, prefix+"n") })},
	{"an address goes with the process", after("in", func(ctx context.Context, s *side) error { return s.Stop(ctx, s.ids["in"], 30*time.Second) })},
	{"share the network of one that has ended", done(func(ctx context.Context, s *side) error {
		return errors.Join(s.Remove(ctx, s.ids["guest"]), func() error {
			spec := s.spec("guest", obedient)
			spec.Network = "container:" + s.ids["in"]
			return errors.Join(s.make(ctx, "guest", spec), s.Start(ctx, s.ids["guest"]))
		}())
	})},
	{"remove a network of one that has ended", done(func(ctx context.Context, s *side) error {
		return errors.Join(s.Remove(ctx, s.ids["deaf"]), s.RemoveNetwork(ctx, prefix+"n"))
	})},
	{"remove a network that is missing", done(func(ctx context.Context, s *side) error { return s.RemoveNetwork(ctx, prefix+"n") })},
	{"start when the network is gone", done(func(ctx context.Context, s *side) error { return s.Start(ctx, s.ids["in"]) })},
	{"remove a network of the engine", done(func(ctx context.Context, s *side) error { return s.RemoveNetwork(ctx, "host") })},
}

var volumes = []row{
	{"a volume in use", func(ctx context.Context, s *side) (any, error) {
		spec := s.spec("store", obedient)
		spec.Mounts = []engine.Mount{{Source: prefix + "volume", Target: "/a", Volume: true, Instance: "contract"}, {Target: "/b", Volume: true, Instance: "contract"}}
		if err := s.make(ctx, "store", spec); err != nil {
			return nil, err
		}
		unused, err := s.UnusedVolumes(ctx, engine.LabelInstance+"=contract")
		return len(unused), errors.Join(err, s.RemoveVolume(ctx, prefix+"volume"))
	}},
	{"volumes of a container that is gone", func(ctx context.Context, s *side) (any, error) {
		if err := s.Remove(ctx, s.ids["store"]); err != nil {
			return nil, err
		}
		unused, err := s.UnusedVolumes(ctx, engine.LabelInstance+"=contract")
		var names []string
		for _, v := range unused {
			names = append(names, fmt.Sprint(v.Name, strings.HasSuffix(v.Path, v.Name+"/_data")))
		}
		return names, err
	}},
	{"remove a volume", done(func(ctx context.Context, s *side) error { return s.RemoveVolume(ctx, prefix+"volume") })},
	{"remove a volume that is gone", done(func(ctx context.Context, s *side) error { return s.RemoveVolume(ctx, prefix+"volume") })},
}

// repository of the images that the test makes.
const repository = "docker-sd.invalid/contract"

var images = []row{
	{"an image that is missing", done(func(ctx context.Context, s *side) error { _, err := s.Image(ctx, repository+":missing"); return err })},
	{"import", func(ctx context.Context, s *side) (any, error) {
		if err := s.ImportEmpty(ctx, repository+":empty"); err != nil {
			return nil, err
		}
		seen, err := s.Image(ctx, repository+":empty")
		return fmt.Sprint(seen.Tags, seen.User, seen.Env, seen.Size), err
	}},
	{"tag", func(ctx context.Context, s *side) (any, error) {
		seen, err := s.Image(ctx, repository+":empty")
		if err != nil {
			return nil, err
		}
		err = s.TagImage(ctx, seen.ID, repository+":other")
		tagged, listed := s.TaggedImages(ctx, repository)
		var names []string
		for name, id := range tagged {
			names = append(names, fmt.Sprint(name, id == seen.ID))
		}
		slices.Sort(names)
		return names, errors.Join(err, listed)
	}},
	{"tag of nothing", done(func(ctx context.Context, s *side) error {
		return s.TagImage(ctx, repository+":missing", repository+":third")
	})},
	{"list images", func(ctx context.Context, s *side) (any, error) {
		all, err := s.Images(ctx)
		at := slices.IndexFunc(all, func(i engine.Image) bool { return slices.Contains(i.Tags, repository+":empty") })
		if at < 0 {
			return nil, err
		}
		slices.Sort(all[at].Tags)
		return fmt.Sprint(all[at].Tags, all[at].Size), err
	}},
	{"remove one name of two", func(ctx context.Context, s *side) (any, error) {
		err := s.RemoveImage(ctx, repository+":other")
		seen, lost := s.Image(ctx, repository+":empty")
		return seen.Tags, errors.Join(err, lost)
	}},
	{"remove an image that a container has", done(func(ctx context.Context, s *side) error {
		spec := s.spec("holder", obedient)
		spec.Image = repository + ":empty"
		return errors.Join(s.make(ctx, "holder", spec), s.RemoveImage(ctx, repository+":empty"))
	})},
	{"remove an image", done(func(ctx context.Context, s *side) error {
		return errors.Join(s.Remove(ctx, s.ids["holder"]), s.RemoveImage(ctx, repository+":empty"))
	})},
	{"remove an image that is gone", done(func(ctx context.Context, s *side) error { return s.RemoveImage(ctx, repository+":empty") })},
	{"copy of nothing", done(func(ctx context.Context, s *side) error {
		_, err := s.CopyImage(ctx, s.Client, repository+":missing")
		return err
	})},
	{"copy", func(ctx context.Context, s *side) (any, error) {
		has, err := s.Image(ctx, s.image)
		if err != nil {
			return nil, err
		}
		id, err := s.CopyImage(ctx, s.Client, s.image)
		return id == has.ID, err
	}},
	{"events that end", func(ctx context.Context, s *side) (any, error) {
		arrived := make(chan struct{}, 1)
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		err := s.WatchImages(ctx, time.Now().Add(-time.Minute), 0, func() {
			select {
			case arrived <- struct{}{}:
			default:
			}
			cancel()
		})
		return len(arrived), errIf(!errors.Is(err, context.Canceled), err)
	}},
}

func errIf(wrong bool, err error) error {
	if wrong {
		return err
	}
	return nil
}
