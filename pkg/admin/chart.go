package admin

import (
	"fmt"
	"strings"
	"time"

	"github.com/docker/go-units"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/usage"
)

// use is what the page shows of what a pod uses.
type use struct {
	// CPU and Memory are those of the last look, in words.
	CPU, Memory string
	// Chart is the last hour; nil before there are two points.
	Chart *chart
}

// Size of a chart in its own units, and how many points its lines have: one for each 90 s,
// since a page with many pods is asked for every second.
const (
	chartWidth  = 120
	chartHeight = 28
	chartPoints = 40
	chartSpan   = time.Hour
)

// chart is the lines of a pod's last hour, as the points of SVG's polylines.
type chart struct {
	CPU, Memory string
	// Title says what the tops of the lines are.
	Title string
}

// useOf is what figures say in words.
func useOf(f usage.Figures) use {
	u := use{Memory: units.BytesSize(float64(f.WorkingSetBytes))}
	if f.Cores != nil {
		u.CPU = cores(*f.Cores)
	}
	return u
}

// cores is a number of them, short.
func cores(n float64) string {
	if n > 0 && n < 0.1 {
		return fmt.Sprintf("%.3f cores", n)
	}
	return fmt.Sprintf("%.2f cores", n)
}

// chartOf draws the points of the last hour: of each 90 s the processor time on average,
// and the most memory. Each line has its own scale, from zero to the most there was.
func chartOf(history []usage.Point, now time.Time) *chart {
	lines := linesOf(history, now, chartPoints)
	if len(lines.at) < 2 {
		return nil
	}
	return &chart{CPU: lines.points(lines.cores, lines.mostCores, chartWidth, chartHeight),
		Memory: lines.points(lines.kib, lines.mostKiB, chartWidth, chartHeight),
		Title:  fmt.Sprintf("last hour: up to %s, %s", cores(lines.mostCores), units.BytesSize(lines.mostKiB*1024))}
}

// lines are the points of the last hour, in so many parts of it.
type lines struct {
	// at is the number of the part, of parts, that has the figures of the same index.
	at                 []int
	parts              int
	cores, kib         []float64
	mostCores, mostKiB float64
}

// linesOf takes the processor time of each part on average, and the most memory.
func linesOf(history []usage.Point, now time.Time, parts int) lines {
	type bucket struct {
		cores, kib float64
		n          int
	}
	buckets := make([]bucket, parts)
	for _, p := range history {
		age := now.Sub(time.Unix(p.Second, 0))
		if age < 0 || age >= chartSpan {
			continue
		}
		b := &buckets[parts-1-int(age*time.Duration(parts)/chartSpan)]
		b.cores, b.kib, b.n = b.cores+float64(p.Cores), max(b.kib, float64(p.KiB)), b.n+1
	}
	out := lines{parts: parts}
	for i, b := range buckets {
		if b.n > 0 {
			b.cores /= float64(b.n)
			out.at, out.cores, out.kib = append(out.at, i), append(out.cores, b.cores), append(out.kib, b.kib)
			out.mostCores, out.mostKiB = max(out.mostCores, b.cores), max(out.mostKiB, b.kib)
		}
	}
	return out
}

// points are those of a polyline.
func (l lines) points(values []float64, most float64, width, height int) string {
	out := make([]string, len(values))
	for i, v := range values {
		out[i] = fmt.Sprintf("%d,%d", l.at[i]*width/(l.parts-1), top(v, most, height))
	}
	return strings.Join(out, " ")
}

// top is where a value is drawn, from the top. A unit is left for the width of the line.
func top(value, most float64, height int) int {
	if most <= 0 {
		return height - 1
	}
	return height - 1 - int(value/most*float64(height-2)+0.5)
}

// Size of a graph of a pod's page in its own units, and its points: one for each minute.
const (
	graphWidth  = 480
	graphHeight = 96
	graphPoints = 60
)

// graph is one figure over the last hour.
type graph struct {
	Name, Class string
	// Line and Area below it are points of SVG.
	Line, Area string
	// Now and Most are in words.
	Now, Most string
}

// graphsOf draws what a pod used; none before there are two points.
func graphsOf(p usage.Pod, now time.Time) []graph {
	l := linesOf(p.History, now, graphPoints)
	if len(l.at) < 2 {
		return nil
	}
	u := useOf(p.Figures)
	// The last look may be above the last point.
	l.mostKiB = max(l.mostKiB, float64(p.WorkingSetBytes)/1024)
	if p.Cores != nil {
		l.mostCores = max(l.mostCores, *p.Cores)
	}
	size := func(kib float64) string { return units.BytesSize(kib * 1024) }
	out := []graph{
		{Name: "Processor", Class: "cpu", Now: u.CPU, Most: cores(l.mostCores), Line: l.points(l.cores, l.mostCores, graphWidth, graphHeight)},
		{Name: "Memory", Class: "memory", Now: u.Memory, Most: size(l.mostKiB), Line: l.points(l.kib, l.mostKiB, graphWidth, graphHeight)},
	}
	for i := range out {
		left, right := l.at[0]*graphWidth/(graphPoints-1), l.at[len(l.at)-1]*graphWidth/(graphPoints-1)
		out[i].Area = fmt.Sprintf("%d,%d %s %d,%d", left, graphHeight, out[i].Line, right, graphHeight)
	}
	return out
}
