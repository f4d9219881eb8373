package doctor

import (
	"context"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/preflight"
)

// probes ask this host questions, each for a limited time, and add the answers to a report.
type probes struct {
	limit  time.Duration
	report *preflight.Report
}

// lines adds those that ask returns, or one that says that there was no answer in time, and
// then returns false.
//
// A call that hangs in the kernel or in a driver, as on a file system whose server is gone,
// cannot be ended. Its goroutine is left behind and ends with the program, so it shares
// nothing with others that they change.
func (p probes) lines(ctx context.Context, name string, ask func(context.Context) []preflight.Line) bool {
	lines, ok := answer(ctx, p, name, ask)
	p.report.Add(lines...)
	return ok
}

// answer is lines for a question with another answer.
func answer[T any](ctx context.Context, p probes, name string, ask func(context.Context) T) (T, bool) {
	bounded, cancel := context.WithTimeout(ctx, p.limit)
	defer cancel()
	answered := make(chan T, 1)
	go func() { answered <- ask(bounded) }()
	var none T
	select {
	case found := <-answered:
		if bounded.Err() == nil {
			return found, true
		}
		// It was cut off: what it says now is about that.
	case <-bounded.Done():
	}
	p.report.Add(preflight.Late(name, p.limit, ctx.Err()))
	return none, false
}
