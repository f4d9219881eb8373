package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"
	"golang.org/x/term"
	"k8s.io/apimachinery/pkg/types"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/admin"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/remotecommand"
)

// newExec makes the command exec.
func newExec(o *Options) *cobra.Command {
	var stdin, tty bool
	var container *string
	cmd := &cobra.Command{
		Use: "exec NAMESPACE/POD|UID [-c CONTAINER] [-i] [-t] -- COMMAND [ARGUMENT...]", Short: "Run a command in a container of a pod",
		Long: "exec runs a command in a container as the container's user, with the container's rights and\n" +
			"limits. Its exit code is that of the command. What the command has started ends with it, and\n" +
			"all of it ends with the caller.",
		Args: cobra.MinimumNArgs(2), ValidArgsFunction: completePod(o),
		RunE: func(cmd *cobra.Command, args []string) error {
			return o.exec(cmd, args[0], *container, admin.Process{Command: args[1:], TTY: tty}, stdin)
		},
	}
	container = containerFlag(o, cmd)
	flags := cmd.Flags()
	flags.BoolVarP(&stdin, "stdin", "i", false, "pass on the standard input")
	flags.BoolVarP(&tty, "tty", "t", false, "give the command a terminal, if there is one here")
	return cmd
}

// exec finds the pod by its name and runs a command in one of its containers.
func (o *Options) exec(cmd *cobra.Command, name, container string, process admin.Process, stdin bool) error {
	client, pod, err := o.target(cmd.Context(), name)
	if err != nil {
		return err
	}
	defer client.Close()
	if err := checkContainer(pod, container); err != nil {
		return err
	}
	caller := remotecommand.Caller{Stdout: cmd.OutOrStdout(), Stderr: cmd.ErrOrStderr()}
	if stdin {
		caller.Stdin = cmd.InOrStdin()
	}
	ctx := cmd.Context()
	if process.TTY {
		here, ok := terminalOf(cmd.InOrStdin())
		if !ok {
			fmt.Fprintln(cmd.ErrOrStderr(), "the standard input is no terminal, so the command gets none")
			process.TTY = false
		} else {
			var leave func() error
			if ctx, leave, err = here.enter(ctx, stdin); err != nil {
				return err
			}
			caller.Sizes = here.sizes
			return errors.Join(runIn(ctx, client, pod.UID, container, process, caller), leave())
		}
	}
	return runIn(ctx, client, pod.UID, container, process, caller)
}

// runIn runs the command, which ends with ctx.
func runIn(ctx context.Context, client *admin.Client, pod types.UID, container string, process admin.Process, caller remotecommand.Caller) error {
	err := client.Exec(ctx, pod, container, process, caller)
	if ctx.Err() != nil {
		return fmt.Errorf("interrupted, and the command is killed: %w", ctx.Err())
	}
	return err
}

// terminal is the one that a command was called from.
type terminal struct {
	file  *os.File
	sizes chan remotecommand.Size
}

func terminalOf(in io.Reader) (*terminal, bool) {
	file, ok := in.(*os.File)
	if !ok || !term.IsTerminal(int(file.Fd())) { //nolint:gosec // a file descriptor
		return nil, false
	}
	return &terminal{file: file, sizes: make(chan remotecommand.Size)}, true
}

// enter passes on the size of the terminal, and with raw all that is typed: it is for the
// command to make something of it. The context that it returns ends with the signals that
// would end this program, so that leave, which the caller has to call, gives the terminal
// back as it was.
func (t *terminal) enter(ctx context.Context, raw bool) (_ context.Context, leave func() error, err error) {
	restore := func() error { return nil }
	fd := int(t.file.Fd()) //nolint:gosec // a file descriptor
	ctx, stop := signal.NotifyContext(ctx, unix.SIGHUP, unix.SIGQUIT, unix.SIGPIPE)
	if raw {
		state, err := term.MakeRaw(fd)
		if err != nil {
			stop()
			return ctx, nil, fmt.Errorf("pass on what is typed: %w", err)
		}
		restore = func() error { return term.Restore(fd, state) }
	}
	changes := make(chan os.Signal, 1)
	signal.Notify(changes, unix.SIGWINCH)
	over, watched := make(chan struct{}), make(chan struct{})
	go func() { defer close(watched); t.watch(changes, over) }()
	return ctx, func() error {
		signal.Stop(changes)
		close(over)
		<-watched
		err := restore()
		stop()
		return err
	}, nil
}

// watch passes on the size of the terminal, at first and at each change.
func (t *terminal) watch(changes <-chan os.Signal, over <-chan struct{}) {
	for {
		// A terminal that has gone has no size.
		if width, height, err := term.GetSize(int(t.file.Fd())); err == nil { //nolint:gosec // a file descriptor
			select {
			case t.sizes <- remotecommand.Size{Width: uint16(width), Height: uint16(height)}: //nolint:gosec // the kernel's are
			case <-over:
				return
			}
		}
		select {
		case <-changes:
		case <-over:
			return
		}
	}
}
