package keyring

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"syscall"
	"time"

	"github.com/docker/docker-credential-helpers/client"
	"github.com/docker/docker-credential-helpers/credentials"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
)

const (
	// helperTimeout bounds one run of a credential helper, which may ask a keychain
	// or a cloud's service.
	helperTimeout = time.Minute
	// helperLinger is for what still holds the helper's output open after its end.
	helperLinger = time.Second
	// tokenUser is the user with which helpers answer an identity token.
	tokenUser = "<token>"
)

// askHelper runs a credential helper. One that is not installed, or has nothing
// for server, is not an error.
func askHelper(ctx context.Context, name, server string) (engine.Credentials, error) {
	ctx, cancel := context.WithTimeout(ctx, helperTimeout)
	defer cancel()
	path, err := exec.LookPath("docker-credential-" + name)
	if errors.Is(err, exec.ErrNotFound) {
		return engine.Credentials{}, nil
	}
	if err != nil {
		return engine.Credentials{}, fmt.Errorf("find the credential helper %s: %w", name, err)
	}
	found, err := client.Get(func(args ...string) client.Program {
		cmd := exec.CommandContext(ctx, path, args...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
		cmd.WaitDelay = helperLinger
		return helper{cmd}
	}, server)
	switch {
	case ctx.Err() != nil:
		return engine.Credentials{}, fmt.Errorf("the credential helper %s did not answer: %w", name, ctx.Err())
	case credentials.IsErrCredentialsNotFound(err):
		return engine.Credentials{}, nil
	case err != nil:
		return engine.Credentials{}, fmt.Errorf("ask the credential helper %s: %w", name, err)
	case found.Username == tokenUser:
		return engine.Credentials{IdentityToken: found.Secret}, nil
	}
	return engine.Credentials{User: found.Username, Password: found.Secret}, nil
}

// helper is one run of a credential helper.
type helper struct{ *exec.Cmd }

// Input is what the helper reads.
func (h helper) Input(in io.Reader) { h.Stdin = in }

// Output is what the helper has written. It becomes part of an error if the
// helper failed, hence only what can be no secret then.
func (h helper) Output() ([]byte, error) {
	out, err := h.Cmd.Output()
	if err != nil && bytes.ContainsRune(out, '{') {
		out = nil
	}
	return out, err
}
