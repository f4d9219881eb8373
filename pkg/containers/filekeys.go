package containers

import (
	"context"
	"fmt"
	"slices"

	"github.com/containerd/errdefs"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes"
)

// environment has the variables of a container, those that files in volumes of its pod
// have among them. A configError says that such a file has not what it should.
func environment(ctx context.Context, r *runner, set *volumes.Set) (podspec.Environment, error) {
	files, err := fileValues(ctx, r, set)
	if err != nil {
		return podspec.Environment{}, err
	}
	env := podspec.NewEnvironment(r.p.Spec, r.spec, r.p.Node, r.p.address(r.s.Sandbox), files)
	if len(files) > 0 && env.TooLong() != "" {
		return env, &configError{err: fmt.Errorf("container %s: variable %s makes the variables longer than Linux allows", r.spec.Name, env.TooLong())}
	}
	return env, nil
}

// fileValues reads the files of fileKeyRef, each as often as variables name it: that is
// seldom more than a few times.
func fileValues(ctx context.Context, r *runner, set *volumes.Set) (podspec.FileValues, error) {
	var out podspec.FileValues
	for i, variable := range r.spec.Env {
		if variable.ValueFrom == nil || variable.ValueFrom.FileKeyRef == nil {
			continue
		}
		ref := variable.ValueFrom.FileKeyRef
		value, err := fileValue(ctx, r, set, ref)
		switch {
		case err == nil:
			if out == nil {
				out = podspec.FileValues{}
			}
			out[i] = value
		case errdefs.IsUnavailable(err) || ctx.Err() != nil:
			return nil, err
		case ref.Optional == nil || !*ref.Optional || !errdefs.IsFailedPrecondition(err):
			return nil, &configError{err: fmt.Errorf("container %s: variable %s: file %s of volume %s %w", r.spec.Name, variable.Name, ref.Path, ref.VolumeName, err)}
		}
	}
	return out, nil
}

// absent says that there is no such file or key. Its class is ErrFailedPrecondition, as
// that of a file that the init does not find.
type absent string

// Error goes on after the name of the file.
func (a absent) Error() string { return string(a) }

// Unwrap gives the class.
func (absent) Unwrap() error { return errdefs.ErrFailedPrecondition }

// fileValue is the value of one key. Its error goes on after the name of the file.
func fileValue(ctx context.Context, r *runner, set *volumes.Set, ref *v1.FileKeySelector) (string, error) {
	source, ok := set.File(ref.VolumeName, ref.Path)
	if !ok {
		return "", absent("does not exist: no container mounts the volume")
	}
	text, err := r.s.Init.Read(ctx, source, podspec.MaxEnvFile)
	if err != nil {
		return "", err
	}
	value, found, err := podspec.EnvFileValue(string(text), ref.Key)
	if err != nil {
		return "", fmt.Errorf("cannot be used: %w", err)
	}
	if !found {
		return "", absent("has no key " + ref.Key)
	}
	return value, nil
}

// mayCome says that a file of fileKeyRef may yet be written: another main container mounts
// its volume, and must not be held back for that.
func mayCome(pod *v1.Pod, c *v1.Container) bool {
	for _, variable := range c.Env {
		if variable.ValueFrom == nil || variable.ValueFrom.FileKeyRef == nil {
			continue
		}
		for _, other := range pod.Spec.Containers {
			if other.Name != c.Name && slices.ContainsFunc(other.VolumeMounts, func(m v1.VolumeMount) bool {
				return m.Name == variable.ValueFrom.FileKeyRef.VolumeName
			}) {
				return true
			}
		}
	}
	return false
}
