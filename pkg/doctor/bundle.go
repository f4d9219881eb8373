package doctor

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/admin"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/cli"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/preflight"
)

// bundleFolder is what the files of a bundle are in.
const bundleFolder = "docker-sd-bundle/"

// mostTimelines bounds how many pods are asked for theirs.
const mostTimelines = 100

// bundle gathers files for a bug report: without secrets, without values of variables, and
// without what containers wrote.
type bundle struct {
	*examination
	redactor *redactor
	files    []bundled
	missing  []string
	// silent says that the docker-sd that runs has not answered in time: it is not asked again.
	silent bool
}

type bundled struct {
	name string
	text []byte
}

// newBundle learns the secrets of the configuration. path is its file.
func newBundle(p *examination, path string) (*bundle, error) {
	b := &bundle{examination: p, redactor: newRedactor()}
	shown, err := config.Shown(p.settings)
	if err != nil {
		return nil, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var file any
	if err := yaml.Unmarshal(text, &file); err != nil {
		return nil, fmt.Errorf("read %s again: %w", path, err)
	}
	b.redactor.foreign(file, shown)
	clean, err := yaml.Marshal(b.redactor.settings(shown))
	if err != nil {
		return nil, err
	}
	b.add("configuration.yaml", clean)
	return b, nil
}

func (b *bundle) add(name string, text []byte) { b.files = append(b.files, bundled{name, text}) }

func (b *bundle) addJSON(name string, value any, err error) {
	if err == nil {
		var text []byte
		if text, err = json.MarshalIndent(value, "", "  "); err == nil {
			b.add(name, append(text, '\n'))
			return
		}
	}
	b.missing = append(b.missing, name+": "+err.Error())
}

// gather asks for all that a report needs beside what the check has found.
func (b *bundle) gather(ctx context.Context, r preflight.Report) {
	b.add("check.txt", []byte(lines(cli.Screen{}, r)))
	b.addJSON("check.json", r, nil)
	b.addJSON("versions.json", b.versions(ctx), nil)
	gather(ctx, b, "info.json", b.client.Info)
	gather(ctx, b, "pool.json", b.client.Pool)
	gather(ctx, b, "gpus.json", b.client.GPUs)
	gather(ctx, b, "events.json", b.client.Events)
	gather(ctx, b, "usage.json", b.client.Usage)
	gather(ctx, b, "pods.json", func(ctx context.Context) (admin.Pods, error) {
		pods, err := b.client.Pods(ctx)
		return withoutMessages(pods), err
	})
	gather(ctx, b, "timelines.json", b.timelines)
	if metrics, err := inTime(ctx, b, b.client.Metrics); err != nil {
		b.missing = append(b.missing, "metrics.txt: "+err.Error())
	} else {
		b.add("metrics.txt", metrics)
	}
	if len(b.missing) > 0 {
		b.add("missing.txt", []byte(strings.Join(b.missing, "\n")+"\n"))
	}
}

// gather adds an answer of the docker-sd that runs.
func gather[T any](ctx context.Context, b *bundle, name string, ask func(context.Context) (T, error)) {
	value, err := inTime(ctx, b, ask)
	b.addJSON(name, value, err)
}

var errSilent = errors.New("there was no answer in time")

// inTime asks the docker-sd that runs, for the time of a probe.
func inTime[T any](ctx context.Context, b *bundle, ask func(context.Context) (T, error)) (T, error) {
	type reply struct {
		value T
		err   error
	}
	if b.silent {
		var none T
		return none, errSilent
	}
	found, ok := answer(ctx, b.probes, "docker-sd", func(ctx context.Context) reply {
		value, err := ask(ctx)
		return reply{value, err}
	})
	if b.silent = !ok; b.silent {
		found.err = errSilent
	}
	return found.value, found.err
}

// withoutMessages leaves out texts that an engine or a container may have written.
func withoutMessages(pods admin.Pods) admin.Pods {
	for i := range pods.Pods {
		for j := range pods.Pods[i].Containers {
			pods.Pods[i].Containers[j].Message = ""
		}
	}
	return pods
}

// timelines of pods, without details: errors may hold what a pod asked for.
func (b *bundle) timelines(ctx context.Context) (map[types.UID][]admin.Moment, error) {
	pods, err := b.client.Pods(ctx)
	if err != nil {
		return nil, err
	}
	out := map[types.UID][]admin.Moment{}
	for _, pod := range pods.Pods[:min(len(pods.Pods), mostTimelines)] {
		found, err := b.client.Describe(ctx, pod.UID)
		if err != nil {
			return nil, err
		}
		for i := range found.Timeline {
			found.Timeline[i].Detail = ""
		}
		out[pod.UID] = found.Timeline
	}
	return out, nil
}

// versions are those of all that a pod runs on.
type versions struct {
	Made     time.Time `json:"made"`
	DockerSD string    `json:"dockerSD"`
	Go       string    `json:"go"`
	Platform string    `json:"platform"`
	Kernel   string    `json:"kernel"`
	System   string    `json:"system"`
	// Engine is what the host's has said of itself.
	Engine      *engine.Info `json:"engine,omitempty"`
	EngineError string       `json:"engineError,omitempty"`
}

func (b *bundle) versions(ctx context.Context) versions {
	v := versions{Made: time.Now().UTC(), DockerSD: b.setup.Version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	var name unix.Utsname
	if unix.Uname(&name) == nil {
		v.Kernel = unix.ByteSliceToString(name.Release[:]) + " " + unix.ByteSliceToString(name.Version[:])
	}
	text, _ := os.ReadFile("/etc/os-release") // not every system has it
	for line := range strings.Lines(string(text)) {
		if value, found := strings.CutPrefix(line, "PRETTY_NAME="); found {
			v.System = strings.Trim(strings.TrimSpace(value), `"`)
		}
	}
	found, ok := answer(ctx, b.probes, "engine", func(ctx context.Context) asked {
		info, err := b.host.Info(ctx)
		return asked{info, err}
	})
	switch {
	case !ok:
		v.EngineError = "it did not answer in time"
	case found.err != nil:
		v.EngineError = found.err.Error()
	default:
		v.Engine = &found.info
	}
	return v
}

// write makes the file, for its owner alone. One that is there is left alone.
func (b *bundle) write(path string) (err error) {
	var out bytes.Buffer
	zipped := gzip.NewWriter(&out)
	files := tar.NewWriter(zipped)
	for _, f := range b.files {
		text := []byte(b.redactor.clean(string(f.text)))
		header := &tar.Header{Name: bundleFolder + f.name, Mode: 0o600, Size: int64(len(text)), ModTime: time.Now(), Format: tar.FormatPAX}
		if err := files.WriteHeader(header); err != nil {
			return err
		}
		if _, err := files.Write(text); err != nil {
			return err
		}
	}
	if err := errors.Join(files.Close(), zipped.Close()); err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(out.Bytes())
	if err = errors.Join(err, file.Close()); err != nil {
		return errors.Join(fmt.Errorf("write the bundle: %w", err), os.Remove(path))
	}
	return nil
}

// writeBundle makes a bundle of what a check has found.
func writeBundle(ctx context.Context, o *cli.Options, setup Setup, f checkFlags, found preflight.Report) error {
	settings, _, err := o.Load()
	if err != nil {
		return err
	}
	var late preflight.Report // what does not answer is in the check
	p, err := newExamination(settings, setup, probes{f.probe(), &late})
	if err != nil {
		return err
	}
	defer p.close()
	b, err := newBundle(p, o.Path())
	if err != nil {
		return err
	}
	b.gather(ctx, found)
	return b.write(f.bundle)
}
