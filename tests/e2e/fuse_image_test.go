//go:build e2e

package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/intertwin-eu/interlink-docker-plugin/tests/lab/rootfs"
)

// fusePrograms are what the image for tests of FUSE file systems is made of, by their
// paths in it, and fusePackages bring them on Debian.
var (
	fusePrograms = map[string]string{"bin/bash": "bash", "usr/bin/rclone": "rclone", "usr/bin/sshfs": "sshfs", "usr/bin/fusermount3": "fusermount3",
		"usr/sbin/sshd": "sshd", "usr/bin/ssh": "ssh", "usr/bin/ssh-keygen": "ssh-keygen", "usr/sbin/useradd": "useradd"}
	fusePackages = []string{"rclone", "sshfs", "fuse3", "openssh-server", "openssh-client", "passwd", "bash"}
	// fuseFiles are of these packages, too.
	fuseFiles = []string{"/usr/lib/openssh/sftp-server", "/lib/*/security/pam_permit.so", "/lib/*/libgcc_s.so.1"}
)

// theFuseImage is one with programs that serve FUSE file systems, and an SSH server.
func theFuseImage(t *testing.T) string {
	t.Helper()
	image, err := suite.fuseImage()
	if err != nil {
		t.Fatal(err)
	}
	return image
}

// makeFuseImage makes it from the programs of this machine, as the lab makes its images.
func makeFuseImage() (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*runLimit)
	defer cancel()
	programs, err := fuseSources()
	if err != nil {
		if err = installFuse(ctx); err == nil {
			programs, err = fuseSources()
		}
	}
	if err != nil {
		return "", err
	}
	busybox, err := exec.LookPath("busybox")
	if err != nil {
		return "", err
	}
	tree, err := rootfs.Busybox(ctx, busybox)
	if err != nil {
		return "", err
	}
	if err := tree.AddPrograms(ctx, programs); err != nil {
		return "", err
	}
	tree.Link("usr/bin/fusermount", "fusermount3") // as the package has it
	tree.File("etc/passwd", 0o644, "root:x:0:0:root:/root:/bin/bash\nuser:x:1000:1000:user:/home/user:/bin/bash\nsshd:x:100:65534::/run/sshd:/bin/false\n")
	tree.File("etc/group", 0o644, "root:x:0:\nuser:x:1000:\nnogroup:x:65534:\n")
	tree.File("etc/shadow", 0o600, "root:*:19000:0:99999:7:::\n")
	tree.File("etc/login.defs", 0o644, "UID_MIN 1000\nGID_MIN 1000\nCREATE_HOME yes\n")
	tree.File("etc/ssh/sshd_config", 0o644, "UsePAM yes\nSubsystem sftp /usr/lib/openssh/sftp-server\n")
	tree.File("etc/pam.d/sshd", 0o644, "auth required pam_permit.so\naccount required pam_permit.so\nsession required pam_permit.so\n")
	tree.File("usr/sbin/service", 0o755, "#!/bin/bash\nset -e\nssh-keygen -A\nmkdir -p /run/sshd\nexec /usr/sbin/sshd\n")
	image := "docker-sd-test/fuse:" + uuid.NewString()[:8]
	return image, importImage(ctx, image, tree)
}

func importImage(ctx context.Context, image string, tree *rootfs.Tree) error {
	reader, writer := io.Pipe()
	written := make(chan error, 1)
	go func() {
		err := tree.WriteTar(writer)
		written <- err
		_ = writer.CloseWithError(err)
	}()
	repo, tag, _ := strings.Cut(image, ":")
	query := url.Values{"fromSrc": {"-"}, "repo": {repo}, "tag": {tag},
		"changes": {"ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", `CMD ["bash"]`}}
	err := post(ctx, "/images/create?"+query.Encode(), "application/x-tar", reader, io.Discard)
	_ = reader.CloseWithError(os.ErrClosed)
	importedImages = append(importedImages, image)
	return errors.Join(err, <-written)
}

// fuseSources are the programs and files of this machine, by their paths in the image.
func fuseSources() (map[string]string, error) {
	out := map[string]string{}
	for path, name := range fusePrograms {
		source, err := exec.LookPath(name)
		if err != nil {
			source, err = exec.LookPath("/usr/sbin/" + name)
		}
		if err != nil {
			return nil, err
		}
		out[path] = source
	}
	for _, pattern := range fuseFiles {
		found, err := filepath.Glob(pattern)
		if err != nil || len(found) == 0 {
			return nil, fmt.Errorf("there is no %s: %w", pattern, errors.Join(err, os.ErrNotExist))
		}
		out[strings.TrimPrefix(found[0], "/")] = found[0]
	}
	return out, nil
}

// installFuse installs Debian's packages where no service would be started by that.
func installFuse(ctx context.Context) error {
	by := "install " + strings.Join(fusePackages, " ")
	if _, err := exec.LookPath("apt-get"); err != nil {
		return fmt.Errorf("programs for FUSE are missing and there is no apt-get: %s", by)
	}
	if _, err := os.Stat("/run/systemd/system"); err == nil || os.Geteuid() != 0 {
		return fmt.Errorf("programs for FUSE are missing, and installing them needs root and would start a service: %s", by)
	}
	for _, args := range [][]string{{"update"}, append([]string{"install", "-y", "--no-install-recommends"}, fusePackages...)} {
		cmd := exec.CommandContext(ctx, "apt-get", append([]string{"-o", "DPkg::Lock::Timeout=300"}, args...)...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("apt-get %s: %w\n%s", args[0], err, out)
		}
	}
	return nil
}
