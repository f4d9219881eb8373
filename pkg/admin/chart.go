package admin

import (
	"fmt"
	"strings"
	"time"

	"github.com/docker/go-units"
	"k8s.io/apimachinery/pkg/types"

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

// usesOf is what the pods of a report use, by UID.
func usesOf(report usage.Report, now time.Time) map[types.UID]use {
	out := make(map[types.UID]use, len(report.Pods))
	for _, p := range report.Pods {
		u := use{Memory: units.BytesSize(float64(p.WorkingSetBytes)), Chart: chartOf(p.History, now)}
		if p.Cores != nil {
			u.CPU = cores(*p.Cores)
		}
		out[p.UID] = u
	}
	return out
}

// cores is a number of them, short.
func cores(n float64) string { return fmt.Sprintf("%.2f cores", n) }

// chartOf draws the points of the last hour: of each 90 s the processor time on average,
// and the most memory. Each line has its own scale, from zero to the most there was.
func chartOf(history []usage.Point, now time.Time) *chart {
	type bucket struct {
		cores, kib float64
		n          int
	}
	var buckets [chartPoints]bucket
	mostCores, mostKiB, drawn := 0.0, 0.0, 0
	for _, p := range history {
		age := now.Sub(time.Unix(p.Second, 0))
		if age < 0 || age >= chartSpan {
			continue
		}
		b := &buckets[chartPoints-1-int(age*chartPoints/chartSpan)]
		b.cores, b.kib, b.n = b.cores+float64(p.Cores), max(b.kib, float64(p.KiB)), b.n+1
	}
	for i := range buckets {
		if b := &buckets[i]; b.n > 0 {
			b.cores /= float64(b.n)
			mostCores, mostKiB, drawn = max(mostCores, b.cores), max(mostKiB, b.kib), drawn+1
		}
	}
	if drawn < 2 {
		return nil
	}
	var cpu, memory strings.Builder
	for i, b := range buckets {
		if b.n > 0 {
			x := i * chartWidth / (chartPoints - 1)
			fmt.Fprintf(&cpu, "%d,%d ", x, height(b.cores, mostCores))
			fmt.Fprintf(&memory, "%d,%d ", x, height(b.kib, mostKiB))
		}
	}
	return &chart{CPU: strings.TrimSpace(cpu.String()), Memory: strings.TrimSpace(memory.String()),
		Title: fmt.Sprintf("last hour: up to %s, %s", cores(mostCores), units.BytesSize(mostKiB*1024))}
}

// height is where a value is drawn, from the top. A unit is left for the width of the line.
func height(value, most float64) int {
	if most <= 0 {
		return chartHeight - 1
	}
	return chartHeight - 1 - int(value/most*(chartHeight-2)+0.5)
}
