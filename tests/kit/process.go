// Package kit starts a docker-sd and speaks its protocol: for the end-to-end tests, the
// bench, the simulation, the demo and the pictures.
package kit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// Build compiles docker-sd of this tree, so that what is tried is this tree. flags are more
// of go build. It returns the path of the program, which is binary.
func Build(ctx context.Context, binary string, flags ...string) (string, error) {
	args := append([]string{"build", "-o", binary}, flags...)
	args = append(args, "github.com/intertwin-eu/interlink-docker-plugin/cmd/docker-sd")
	if out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("build docker-sd: %w: %s", err, out)
	}
	return binary, nil
}

// Process is a docker-sd, or several one after the other with the same configuration.
type Process struct {
	// Binary is the program, Config the path of its configuration.
	Binary, Config string
	// Args of it beside that of the configuration.
	Args []string
	// Engine is the variable DOCKER_HOST, "" for none: it wins over the file.
	Engine string
	// Env is more of its environment, which has PATH and HOME of ours: other variables would
	// win over the file.
	Env []string
	// Output takes both of its streams.
	Output io.Writer

	cmd   *exec.Cmd
	ended chan struct{}
	err   error
}

// Start starts the process and does not wait for it.
func (p *Process) Start() error {
	cmd := exec.Command(p.Binary, append([]string{"-interlinkconfigpath", p.Config}, p.Args...)...)
	cmd.Stdout, cmd.Stderr = p.Output, p.Output
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); name == "PATH" || name == "HOME" {
			cmd.Env = append(cmd.Env, entry)
		}
	}
	if p.Engine != "" {
		cmd.Env = append(cmd.Env, "DOCKER_HOST="+p.Engine)
	}
	cmd.Env = append(cmd.Env, p.Env...)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start docker-sd: %w", err)
	}
	ended := make(chan struct{})
	p.cmd, p.ended, p.err = cmd, ended, nil
	go func() {
		defer close(ended)
		p.err = cmd.Wait()
	}()
	return nil
}

// PID of the process that runs, or has run last.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Ended is closed when the process has ended.
func (p *Process) Ended() <-chan struct{} { return p.ended }

// Err is how it ended, nil for exit code 0; call it after that.
func (p *Process) Err() error { return p.err }

// Running says that there is a process which has not ended.
func (p *Process) Running() bool {
	if p.cmd == nil {
		return false
	}
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// Signal sends one and waits for the end of the process, which is killed after a limit; that
// is an error then.
func (p *Process) Signal(s os.Signal, limit time.Duration) error {
	if !p.Running() {
		return errors.New("docker-sd does not run")
	}
	if err := p.cmd.Process.Signal(s); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return fmt.Errorf("send %s to docker-sd: %w", s, err)
	}
	select {
	case <-p.ended:
		return nil
	case <-time.After(limit):
		err := errors.Join(fmt.Errorf("docker-sd did not end within %s after %s and was killed", limit, s), p.cmd.Process.Kill())
		<-p.ended
		return err
	}
}

// Stop ends docker-sd as an operator does; it must exit with 0.
func (p *Process) Stop(limit time.Duration) error {
	if err := p.Signal(syscall.SIGTERM, limit); err != nil {
		return err
	}
	if p.err != nil {
		return fmt.Errorf("docker-sd ended with %w after SIGTERM", p.err)
	}
	return nil
}

// Settings of a docker-sd whose files are in a folder, which must be short because of the
// sockets below it: Socket is api.sock in it. It evicts no pod, since how full the disk of
// the machine is tells nothing of docker-sd. More settings win over these.
func Settings(dir, instance string, more map[string]any) map[string]any {
	settings := map[string]any{
		"Instance": instance, "Socket": "unix://" + filepath.Join(dir, "api.sock"), "DataRootFolder": filepath.Join(dir, "d"),
		"EvictionHard": map[string]string{"nodefs.available": "0%", "nodefs.inodesFree": "0%", "imagefs.available": "0%"},
	}
	for key, value := range more {
		settings[key] = value
	}
	return settings
}

// WriteConfig writes settings to a file.
func WriteConfig(path string, settings map[string]any) error {
	text, err := json.Marshal(settings) // JSON is YAML
	if err != nil {
		return fmt.Errorf("encode the configuration: %w", err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		return fmt.Errorf("write the configuration: %w", err)
	}
	return nil
}
