package doctor

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/preflight"
)

// TestProbes: a question without an answer has a line of its own, whether it minds its context
// or not, and the next one is asked.
func TestProbes(t *testing.T) {
	var r preflight.Report
	p := probes{limit: 50 * time.Millisecond, report: &r}
	for name, ask := range map[string]func(context.Context) []preflight.Line{
		"deaf": func(context.Context) []preflight.Line { <-t.Context().Done(); return nil },
		"obedient": func(ctx context.Context) []preflight.Line {
			<-ctx.Done()
			return []preflight.Line{{Name: "obedient", Verdict: preflight.Warn, Found: ctx.Err().Error()}}
		},
	} {
		if p.lines(t.Context(), name, ask) {
			t.Errorf("%s has answered", name)
		}
		if l := r.Lines[len(r.Lines)-1]; l.Name != name || l.Verdict != preflight.Fail || !strings.Contains(l.Found, "longer than 50ms") {
			t.Errorf("%s has the line %+v", name, l)
		}
	}
	p.limit = time.Minute
	if !p.lines(t.Context(), "quick", func(context.Context) []preflight.Line { return []preflight.Line{{Name: "quick"}} }) || r.Lines[2].Name != "quick" {
		t.Errorf("the report is %+v", r)
	}
	over, cancel := context.WithCancel(t.Context())
	cancel()
	p.lines(over, "last", func(ctx context.Context) []preflight.Line { <-ctx.Done(); return nil })
	if l := r.Lines[3]; !strings.Contains(l.Found, "the time for all checks is over") {
		t.Errorf("at the end of all time the line is %+v", l)
	}
}
