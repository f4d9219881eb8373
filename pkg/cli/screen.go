package cli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"unicode"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
)

// Formats of what commands print, for the flag --output.
const (
	outputTable = "table"
	outputJSON  = "json"
)

// Screen is where a command prints.
type Screen struct {
	Out io.Writer
	// JSON says that JSON is wanted; terminal that a person looks at it, Coloured that
	// it may have colours.
	JSON               bool
	terminal, Coloured bool
}

// OutputFlag adds --output to a command.
func OutputFlag(cmd *cobra.Command) *string {
	format := cmd.Flags().StringP("output", "o", outputTable, "format: table or json")
	formats := cobra.FixedCompletions([]cobra.Completion{outputTable, outputJSON}, cobra.ShellCompDirectiveNoFileComp)
	if err := cmd.RegisterFlagCompletionFunc("output", formats); err != nil {
		panic(err) // the flag is there
	}
	return format
}

// NewScreen is that of a command which was given a format, table or json.
func NewScreen(cmd *cobra.Command, getenv func(string) string, format string) (Screen, error) {
	if format != outputTable && format != outputJSON {
		return Screen{}, fmt.Errorf("--output is %q: it is table or json", format)
	}
	s := Screen{Out: cmd.OutOrStdout(), JSON: format == outputJSON}
	if file, ok := s.Out.(*os.File); ok {
		s.terminal = term.IsTerminal(int(file.Fd()))
	}
	s.Coloured = s.terminal && config.Colours(getenv)
	return s, nil
}

// Colours of words, as ANSI numbers them.
const (
	Red    = 31
	Green  = 32
	Yellow = 33
)

// Paint colours a text where there may be colours.
func (s Screen) Paint(colour int, text string) string {
	if !s.Coloured || colour == 0 {
		return text
	}
	return fmt.Sprintf("\x1b[%dm%s\x1b[0m", colour, text)
}

// wipe clears a terminal and returns to its upper left corner.
const wipe = "\x1b[H\x1b[2J"

// PrintJSON writes one value, on one line where lines are wanted.
func (s Screen) PrintJSON(value any, lines bool) error {
	encoder := json.NewEncoder(s.Out)
	if !lines {
		encoder.SetIndent("", "  ")
	}
	return encoder.Encode(value)
}

// table is what a command shows of many things.
type table struct {
	head   []string
	rows   []row
	footer []string
}

// row is one thing. Rows of one key are the same thing at different times; mark
// tells whether it has changed, which its age does not.
type row struct {
	key, mark string
	cells     []string
}

// write prints a table with its columns aligned.
func (t table) write(out io.Writer, head bool) error {
	var text bytes.Buffer
	columns := tabwriter.NewWriter(&text, 0, 0, 3, ' ', 0)
	if head {
		fmt.Fprintln(columns, strings.Join(t.head, "\t"))
	}
	for _, r := range t.rows {
		fmt.Fprintln(columns, strings.Join(Plain(r.cells), "\t"))
	}
	if err := columns.Flush(); err != nil {
		return err
	}
	for _, line := range Plain(t.footer) {
		fmt.Fprintln(&text, line)
	}
	_, err := out.Write(text.Bytes())
	return err
}

// Plain leaves out what would steer a terminal: names and reasons come from
// elsewhere. An empty cell is a dash, so that columns can be counted.
func Plain(cells []string) []string {
	out := slices.Clone(cells)
	for i := range out {
		out[i] = strings.Map(func(r rune) rune {
			if unicode.IsPrint(r) {
				return r
			}
			return ' '
		}, out[i])
		if strings.TrimSpace(out[i]) == "" {
			out[i] = "-"
		}
	}
	return out
}

// changes are the rows that are new or have changed since the table before, and
// those that have gone, whose column with the state says so.
func (t table) changes(before table, state int) table {
	out := table{head: t.head}
	old := map[string]row{}
	for _, r := range before.rows {
		old[r.key] = r
	}
	for _, r := range t.rows {
		if was, known := old[r.key]; !known || was.mark != r.mark {
			out.rows = append(out.rows, r)
		}
		delete(old, r.key)
	}
	for _, r := range before.rows {
		if _, gone := old[r.key]; gone {
			r.cells = slices.Clone(r.cells)
			r.cells[state] = "gone"
			out.rows = append(out.rows, r)
		}
	}
	if !slices.Equal(t.footer, before.footer) {
		out.footer = t.footer
	}
	return out
}
