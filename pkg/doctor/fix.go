package doctor

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/preflight"
)

// fixer does what is safe to do about a report, once it has been shown and agreed to.
type fixer struct {
	sysctls sysctls
	out     io.Writer
	// yes is the agreement; else in is asked if a person sits there.
	yes, person bool
	in          io.Reader
}

// newFixer is that of a command. What it says does not go among JSON.
func newFixer(cmd *cobra.Command, yes, json bool) fixer {
	f := fixer{sysctls: sysctls{"/"}, out: cmd.OutOrStdout(), yes: yes, in: cmd.InOrStdin()}
	if json {
		f.out = cmd.ErrOrStderr()
	}
	if file, ok := f.in.(*os.File); ok {
		f.person = term.IsTerminal(int(file.Fd()))
	}
	return f
}

var (
	errNotAgreed = errors.New("nothing was changed: --fix wants --yes, or an answer at a terminal")
	errDeclined  = errors.New("nothing was changed")
)

// fix raises the kernel parameters that the lines of a report name. Nothing else is touched.
func (f fixer) fix(r preflight.Report) error {
	wanted := map[string]uint64{}
	for _, l := range r.Lines {
		for key, value := range l.Sysctl {
			wanted[key] = max(wanted[key], value)
		}
	}
	if len(wanted) == 0 {
		fmt.Fprintln(f.out, "\nThere is nothing that --fix could mend.")
		return nil
	}
	c, err := f.sysctls.plan(wanted)
	if err != nil {
		return err
	}
	fmt.Fprintf(f.out, "\n%s will have these lines, and the kernel is told of them at once:\n\n    %s\n",
		f.sysctls.path(), strings.ReplaceAll(strings.TrimSuffix(c.text, "\n"), "\n", "\n    "))
	for _, sentence := range f.sysctls.undone(c) {
		fmt.Fprintln(f.out, "\n"+sentence)
	}
	if err := f.agreed(); err != nil {
		return err
	}
	if err := f.sysctls.apply(c); err != nil {
		return err
	}
	fmt.Fprintf(f.out, "\n%s is written.\n", f.sysctls.path())
	for _, key := range slices.Sorted(maps.Keys(c.set)) {
		fmt.Fprintf(f.out, "%s was %d and is %d.\n", key, c.had[key], c.set[key])
	}
	return nil
}

// agreed asks, unless the answer is known.
func (f fixer) agreed() error {
	if f.yes {
		return nil
	}
	if !f.person {
		return errNotAgreed
	}
	fmt.Fprint(f.out, "\nWrite it? [y/N] ")
	answer, err := bufio.NewReader(f.in).ReadString('\n')
	if err != nil && answer == "" {
		return errDeclined
	}
	switch strings.ToLower(strings.TrimSpace(answer)) {
	case "y", "yes":
		return nil
	}
	return errDeclined
}
