package doctor

import (
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/cli"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/preflight"
)

func TestLines(t *testing.T) {
	r := preflight.Report{}
	r.Add(preflight.Line{Name: "a", Verdict: preflight.Fail, Found: "x\x1b[2J", Do: "y"}, preflight.Line{Name: "longer", Verdict: preflight.OK, Found: "z"})
	want := "\x1b[31mfail\x1b[0m  a       x [2J [a]\n              -> y\n              see docs/operations.md#check-a\n\x1b[32mok  \x1b[0m  longer  z [longer]\n1 ok, 0 warn, 1 fail\n"
	if got := lines(cli.Screen{Coloured: true}, r); got != want {
		t.Errorf("lines are\n%q, want\n%q", got, want)
	}
}
