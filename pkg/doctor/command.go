// Package doctor is the command check: it gathers the facts of this host in the way docker-sd
// does, has them judged, and prints the result.
package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/spf13/cobra"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/cli"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/preflight"
)

// Exit codes of a check, beside 0 for a host on which nothing is wrong.
const (
	exitFailed  = 1
	exitNotMade = 2
)

// ExitError is an error with an exit code of its own.
type ExitError struct {
	error
	Code int
}

// Unwrap gives the error without its code.
func (e *ExitError) Unwrap() error { return e.error }

func notMade(err error) error { return &ExitError{err, exitNotMade} }

// checkFlags bound what a check does.
type checkFlags struct {
	noBoot               bool
	timeout, bootTimeout time.Duration
	// probeTimeout bounds each question, but for the boot of a sandbox.
	probeTimeout time.Duration
	// fix mends what is safe to mend, yes without a question.
	fix, yes bool
	// bundle is the file for a bug report, "" for none.
	bundle string
}

// Command makes the command check, for a docker-sd with this setup.
func Command(o *cli.Options, setup Setup) *cobra.Command {
	var f checkFlags
	var format *string
	cmd := &cobra.Command{
		Use: "check", Short: "Tell whether this host is fit for docker-sd, and what to do where it is not",
		Long: "check looks at all that docker-sd needs of this host, with the configuration that docker-sd\n" +
			"would run with, and boots a sandbox with a container in it. It leaves nothing behind, and\n" +
			"may be used while docker-sd runs. Each line ends with its id, which never changes;\n" +
			"docs/operations.md explains it.\n\n" +
			"With --fix it raises kernel parameters that are too low: it shows the file in /etc/sysctl.d that\n" +
			"it is going to write, and asks, or wants --yes. With --bundle it makes a file for a bug report.\n\n" +
			"Exit codes: 0 nothing failed (there may be warnings), 1 something failed, or --fix or\n" +
			"--bundle could not do what they were to, 2 the check could not be made: a wrong flag, a\n" +
			"configuration that cannot be read, or an interrupt.",
		Args: func(cmd *cobra.Command, args []string) error {
			if err := cobra.NoArgs(cmd, args); err != nil {
				return notMade(err)
			}
			return nil
		},
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			screen, err := cli.NewScreen(cmd, o.Getenv, *format)
			if err != nil {
				return notMade(err)
			}
			found, err := check(cmd.Context(), o, setup, f)
			if err != nil {
				return notMade(err)
			}
			return finish(cmd, o, setup, f, screen, found)
		},
	}
	cmd.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return notMade(err) })
	format = cli.OutputFlag(cmd)
	f.register(cmd)
	return cmd
}

// probe is the time for a question.
func (f checkFlags) probe() time.Duration { return cmp.Or(f.probeTimeout, f.timeout/9) }

// register adds the flags to a command.
func (f *checkFlags) register(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.noBoot, "no-boot", false, "look only: run no container and boot no sandbox")
	cmd.Flags().BoolVar(&f.fix, "fix", false, "raise kernel parameters that are too low")
	cmd.Flags().BoolVar(&f.yes, "yes", false, "with --fix: do not ask")
	cmd.Flags().StringVar(&f.bundle, "bundle", "", "make this file (.tar.gz) for a bug report, without secrets")
	cmd.Flags().DurationVar(&f.timeout, "timeout", 3*time.Minute, "time for all of it")
	cmd.Flags().DurationVar(&f.probeTimeout, "probe-timeout", 0, "time for each question to this host and its engine (default a ninth of --timeout)")
	cmd.Flags().DurationVar(&f.bootTimeout, "boot-timeout", 0, "time for the boot of the sandbox (default SandboxBootTimeout)")
}

// finish prints a report and does what else was wanted with it.
func finish(cmd *cobra.Command, o *cli.Options, setup Setup, f checkFlags, screen cli.Screen, found preflight.Report) error {
	problem := report(screen, found)
	var more error
	if f.fix {
		more = newFixer(cmd, f.yes, screen.JSON).fix(found)
	}
	if f.bundle != "" {
		if err := writeBundle(cmd.Context(), o, setup, f, found); err != nil {
			more = errors.Join(more, err)
		} else {
			fmt.Fprintf(cmd.ErrOrStderr(), "%s is written. Look into it before you send it to others.\n", f.bundle)
		}
	}
	if more != nil {
		return &ExitError{errors.Join(problem, more), exitFailed}
	}
	return problem
}

// check gathers a report. An error says that there is none.
func check(ctx context.Context, o *cli.Options, setup Setup, f checkFlags) (preflight.Report, error) {
	if f.timeout <= 0 || f.bootTimeout < 0 || f.probeTimeout < 0 {
		return preflight.Report{}, errors.New("--timeout, --probe-timeout and --boot-timeout are times such as 30s")
	}
	if f.yes && !f.fix {
		return preflight.Report{}, errors.New("--yes is for --fix")
	}
	if _, err := os.Lstat(f.bundle); f.bundle != "" && !errors.Is(err, fs.ErrNotExist) {
		return preflight.Report{}, fmt.Errorf("--bundle makes a new file, and %s is there or cannot be looked for: name another one", f.bundle)
	}
	settings, warnings, err := o.Load()
	if err != nil {
		return preflight.Report{}, err
	}
	level := "error"
	if o.Verbose {
		level = "debug"
	}
	if err := log.SetLevel(level); err != nil {
		return preflight.Report{}, err
	}
	if f.bootTimeout > 0 {
		settings.SandboxBootTimeout = f.bootTimeout
	}
	bounded, cancel := context.WithTimeout(ctx, f.timeout)
	defer cancel()
	report := preflight.Report{OK: true}
	p, err := newExamination(settings, setup, probes{f.probe(), &report})
	if err != nil {
		return report, err
	}
	defer p.close()
	for _, warning := range warnings {
		report.Add(preflight.Line{Name: "configuration", Verdict: preflight.Warn, Found: warning, Do: "correct or remove it"})
	}
	p.look(bounded, !f.noBoot)
	return report, ctx.Err()
}

// report prints what was found; the error says that something is wrong.
func report(s cli.Screen, r preflight.Report) error {
	var err error
	if s.JSON {
		err = s.PrintJSON(r, false)
	} else {
		_, err = fmt.Fprint(s.Out, lines(s, r))
	}
	if err != nil {
		return err
	}
	if !r.OK {
		return &ExitError{fmt.Errorf("%d of %d checks failed", r.Count(preflight.Fail), len(r.Lines)), exitFailed}
	}
	return nil
}

// verdictWidth is that of the longest verdict.
const verdictWidth = len(preflight.Warn)

// lines are the report for people: what to do is below what was found.
func lines(s cli.Screen, r preflight.Report) string {
	colours := map[preflight.Verdict]int{preflight.OK: cli.Green, preflight.Warn: cli.Yellow, preflight.Fail: cli.Red}
	width := 0
	for _, l := range r.Lines {
		width = max(width, len(l.Name))
	}
	var out strings.Builder
	for _, l := range r.Lines {
		text := cli.Plain([]string{l.Found, l.Do})
		verdict := s.Paint(colours[l.Verdict], fmt.Sprintf("%-*s", verdictWidth, l.Verdict))
		fmt.Fprintf(&out, "%s  %-*s  %s [%s]\n", verdict, width, l.Name, text[0], l.ID)
		if l.Do != "" {
			fmt.Fprintf(&out, "%*s  -> %s\n", verdictWidth+2+width, "", text[1])
		}
		if l.Verdict != preflight.OK {
			fmt.Fprintf(&out, "%*s  see %s\n", verdictWidth+2+width, "", l.Docs)
		}
	}
	fmt.Fprintf(&out, "%d ok, %d warn, %d fail\n", r.Count(preflight.OK), r.Count(preflight.Warn), r.Count(preflight.Fail))
	return out.String()
}
