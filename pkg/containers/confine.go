package containers

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
)

// maxProfile bounds a seccomp profile in bytes.
const maxProfile = 1 << 20

// confine gives a container its seccomp profile of type Localhost, if it has one. The
// filter of the sandbox stays above it. One that cannot be had is a configError.
func confine(spec *engine.Spec, pod *v1.Pod, c *v1.Container, root string) error {
	name := podspec.SeccompFile(pod, c)
	if name == "" {
		return nil
	}
	profile, err := readProfile(root, name)
	if err != nil {
		return &configError{fmt.Errorf("container %s: seccomp profile %s of this node %w", c.Name, name, err), podstatus.ReasonCreate}
	}
	spec.SecurityOpt = append(spec.SecurityOpt, "seccomp="+profile)
	return nil
}

// readProfile reads a profile below a folder; no link leads out of that. Its error goes on
// after the name of the profile, and has no path of the host.
func readProfile(root, name string) (string, error) {
	folder, err := os.OpenRoot(root)
	if err != nil {
		return "", errors.New("cannot be read: the folder of profiles cannot be opened")
	}
	defer folder.Close()
	info, err := folder.Stat(name)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return "", errors.New("does not exist")
	case err != nil:
		return "", errors.New("cannot be opened, or is not below the folder of profiles")
	case !info.Mode().IsRegular() || info.Size() > maxProfile:
		return "", fmt.Errorf("is not a file of at most %d bytes", maxProfile)
	}
	f, err := folder.Open(name)
	if err != nil {
		return "", errors.New("cannot be opened")
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxProfile))
	if err != nil || !json.Valid(text) {
		return "", errors.New("cannot be used: it is no JSON")
	}
	return string(text), nil
}
