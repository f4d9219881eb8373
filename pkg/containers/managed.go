package containers

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/google/renameio/v2"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
	v1 "k8s.io/api/core/v1"
)

// WriteManagedFiles of the pod in its sandbox; see writeManagedFiles.
func (p *Pod) WriteManagedFiles(s *sandbox.Sandbox) error {
	return writeManagedFiles(p.Spec, s, p.address(s))
}

// writeManagedFiles makes the files that kubelet manages: /etc/hosts, and one file per
// container for its termination message. It may be repeated.
func writeManagedFiles(pod *v1.Pod, s *sandbox.Sandbox, address string) error {
	dir := filepath.Join(s.PodDir(), "managed")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("make the pod's managed files: %w", err)
	}
	// Containers have the file mounted: it is written once and never replaced.
	if _, err := os.Stat(hostsPath(s)); errors.Is(err, os.ErrNotExist) {
		if err := renameio.WriteFile(hostsPath(s), []byte(podspec.HostsFile(pod, address)), 0o644, renameio.WithTempDir(dir)); err != nil {
			return fmt.Errorf("write the pod's /etc/hosts: %w", err)
		}
		fault.Point("pods.volumes.managed")
	}
	for _, c := range podspec.Containers(pod) {
		// Any user in the container may write its message, as in kubelet.
		f, err := os.OpenFile(messagePath(s, c.Name), os.O_CREATE|os.O_WRONLY, 0o666)
		if err != nil {
			return fmt.Errorf("make the termination message file: %w", err)
		}
		if err := errors.Join(f.Chmod(0o666), f.Close()); err != nil {
			return fmt.Errorf("make the termination message file: %w", err)
		}
	}
	return nil
}

// hostsPath is the pod's /etc/hosts on the host.
func hostsPath(s *sandbox.Sandbox) string { return filepath.Join(s.PodDir(), "managed", "hosts") }

// messagePath is the file of a container's termination message on the host.
func messagePath(s *sandbox.Sandbox, container string) string {
	return filepath.Join(s.PodDir(), "managed", container+".message")
}
