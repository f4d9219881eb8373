package amend

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// runtime is the program that this one becomes.
const runtime = "runc"

// Command is the runtime of a container that is amended: args are those of runc, which find
// looks for. It returns only where it fails, with the exit code.
func Command(args []string, find func(string) (string, error)) int {
	l := parse(args)
	err := l.amend(folder)
	if err == nil {
		err = become(args, find)
	}
	l.log(err)
	fmt.Fprintln(os.Stderr, "docker-sd-init:", err)
	return 1
}

// become runs the runtime in this process.
func become(args []string, find func(string) (string, error)) error {
	path, err := find(runtime)
	if err == nil {
		err = unix.Exec(path, append([]string{path}, args...), os.Environ())
	}
	return fmt.Errorf("run %s: %w", runtime, err)
}

// line is what matters of a command line of runc.
type line struct {
	// command is a word such as create, "" where there is none.
	command string
	// container is the last word, and its id where the command is about one.
	container string
	// bundle is the folder with the description of a container, process the file with that
	// of a further process, logFile where errors go; each "" where it is not named.
	bundle, process, logFile string
}

// globalValues are runc's options before the command that have a word of their own for a
// value.
var globalValues = []string{"--log", "--log-format", "--root", "--criu", "--rootless"}

// parse reads a command line as containerd writes it.
func parse(args []string) line {
	var out line
	for i := 0; i < len(args); i++ {
		name, value, joined := strings.Cut(args[i], "=")
		switch {
		case !strings.HasPrefix(name, "-"):
			if out.command == "" {
				out.command = args[i]
			}
			continue
		case !joined && i+1 < len(args):
			value = args[i+1]
		}
		switch {
		case out.command == "" && name == "--log":
			out.logFile = value
		case out.command != "" && (name == "--bundle" || name == "-b"):
			out.bundle = value
		case out.command != "" && (name == "--process" || name == "-p"):
			out.process = value
		}
		if out.command == "" && !joined && slices.Contains(globalValues, name) {
			i++
		}
	}
	if len(args) > 0 && out.command != "" {
		out.container = args[len(args)-1]
	}
	return out
}

// amend changes the description of what the command starts, if it starts something.
func (l line) amend(folder string) error {
	var path string
	switch l.command {
	case "create", "run", "restore":
		if l.bundle == "" {
			return fmt.Errorf("runtime command %s without a bundle", l.command)
		}
		path = filepath.Join(l.bundle, "config.json")
	case "exec":
		if path = l.process; path == "" {
			return errors.New("runtime command exec without a file for the process")
		}
	default:
		return nil
	}
	given, err := noteOf(folder, l.container)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if l.command == "exec" {
		text, err = amendProcess(text, given)
	} else {
		text, err = amendSpec(text, given)
	}
	if err != nil {
		return fmt.Errorf("amend the description of the container: %w", err)
	}
	return os.WriteFile(path, text, 0o600)
}

// log tells containerd of an error, as runc does.
func (l line) log(problem error) {
	text, err := json.Marshal(map[string]string{"level": "error", "msg": problem.Error()})
	if err != nil || l.logFile == "" {
		return
	}
	if f, err := os.OpenFile(l.logFile, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644); err == nil {
		_, _ = f.Write(append(text, '\n')) // it stands on the error output, too
		_ = f.Close()
	}
}
