// Command intruder tries to leave the container that it runs in. Each attack is a
// subcommand; tests/attack/README.md lists them. It is built without cgo, so that it
// runs in an image that holds nothing else.
//
// An attack prints one line, NAME, a tab, "escaped", "held" or "absent", a tab, and
// what it saw. Absent means that this kernel or host has nothing to attack. It
// changes nothing of a host that it reaches: a setting is written back with the value
// that was read, files are only opened, and devices are only read.
package main

import (
	"fmt"
	"os"
	"sort"
)

// outcome of one attack.
type outcome struct {
	state, saw string
}

func escaped(format string, a ...any) outcome { return outcome{"escaped", fmt.Sprintf(format, a...)} }
func held(format string, a ...any) outcome    { return outcome{"held", fmt.Sprintf(format, a...)} }
func absent(format string, a ...any) outcome  { return outcome{"absent", fmt.Sprintf(format, a...)} }

func (o outcome) print(name string) { fmt.Printf("%s\t%s\t%q\n", name, o.state, o.saw) }

// commands take their arguments and return the exit code.
var commands = map[string]func([]string) int{
	"probe":    probe,
	"exchange": exchange,
	"look":     look,
	"cwd":      cwd,
	"make":     makeThings,
	"open":     open,
	"write":    write,
	"flood":    flood,
	"spawn":    spawn,
	"watch":    watch,
	"wait":     wait,
	"inside":   inside,
}

func main() {
	if len(os.Args) < 2 || commands[os.Args[1]] == nil {
		var names []string
		for name := range commands {
			names = append(names, name)
		}
		sort.Strings(names)
		fmt.Fprintln(os.Stderr, "usage: intruder COMMAND ARGS, one of", names)
		os.Exit(2)
	}
	os.Exit(commands[os.Args[1]](os.Args[2:]))
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, "intruder:", err)
	return 1
}
