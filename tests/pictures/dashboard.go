package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/go-analyze/charts"
)

const definition = "docs/grafana/docker-sd.json"

// panel is one of the dashboard.
type panel struct {
	Type, Title string
	FieldConfig struct {
		Defaults struct {
			Unit   string
			Custom struct{ Stacking struct{ Mode string } }
		}
	}
	Targets []struct{ Expr, LegendFormat string }
}

// series is what one line of a panel shows.
type series struct {
	name   string
	values []float64
}

// dashboard draws every panel from what Prometheus saw.
func dashboard(ctx context.Context, path string, length time.Duration) error {
	text, err := os.ReadFile(definition)
	if err != nil {
		return err
	}
	var board struct{ Panels []panel }
	if err := json.Unmarshal(text, &board); err != nil {
		return fmt.Errorf("read %s: %w", definition, err)
	}
	n, err := startNode(ctx)
	if err != nil {
		return err
	}
	began := time.Now()
	n.work(ctx, length)
	var cards []template.HTML
	var problems []error
	for _, p := range board.Panels {
		card, err := p.draw(ctx, began, time.Now())
		problems = append(problems, err)
		cards = append(cards, card)
	}
	if err := errors.Join(append(problems, n.stop(ctx))...); err != nil {
		return err
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _ = board24.Execute(w, cards) }))
	defer server.Close()
	return photograph(ctx, server.URL, path, 1500, false)
}

var board24 = template.Must(template.New("").Parse(`<!DOCTYPE html><meta charset="utf-8"><style>
body { margin: 0; padding: 12px; background: #f4f5f5; font: 13px "DejaVu Sans", sans-serif; color: #24292e;
  display: grid; grid-template-columns: repeat(6, minmax(0, 1fr)); align-items: start; gap: 8px; }
div { background: #fff; border: 1px solid #e4e7ea; border-radius: 3px; padding: 8px; }
.timeseries { grid-column: span 2; } b { display: block; } img { width: 100%; } p { margin: 12px; font-size: 26px; text-align: center; color: #3d71d9; }
</style>{{range .}}{{.}}{{end}}`))

// step is the time between two points of a line.
const step = 2 * time.Second

// draw makes the panel's card.
func (p panel) draw(ctx context.Context, from, to time.Time) (template.HTML, error) {
	var lines []series
	for _, target := range p.Targets {
		found, err := query(ctx, target.Expr, target.LegendFormat, from, to)
		if err != nil {
			return "", fmt.Errorf("panel %q: %w", p.Title, err)
		}
		lines = append(lines, found...)
	}
	body := "<p>none</p>"
	switch {
	case len(lines) == 0:
	case p.Type == "stat":
		known := slices.DeleteFunc(slices.Clone(lines[0].values), func(v float64) bool { return v == charts.GetNullValue() })
		shown := "none"
		if len(known) > 0 {
			shown = p.format(known[len(known)-1])
		}
		if p.Title == "Versions" {
			shown = lines[0].name
		}
		body = "<p>" + template.HTMLEscapeString(shown) + "</p>"
	default:
		picture, err := p.chart(lines, int(to.Sub(from)/step))
		if err != nil {
			return "", fmt.Errorf("panel %q: %w", p.Title, err)
		}
		body = `<img src="data:image/svg+xml;base64,` + base64.StdEncoding.EncodeToString(picture) + `">`
	}
	return template.HTML(`<div class="` + p.Type + `"><b>` + template.HTMLEscapeString(p.Title) + `</b>` + body + `</div>`), nil //nolint:gosec // escaped above
}

func (p panel) chart(lines []series, points int) ([]byte, error) {
	var data [][]float64
	var names []string
	for _, line := range lines {
		data, names = append(data, line.values), append(names, line.name)
	}
	option := charts.NewLineChartOptionWithData(data)
	option.Legend.SeriesNames = names
	option.Symbol.Shape = charts.SymbolNone
	option.LineStrokeWidth = 1.5
	option.ValueFormatter = p.format
	if p.FieldConfig.Defaults.Custom.Stacking.Mode == "normal" {
		option.StackSeries = charts.Ptr(true)
	}
	option.XAxis.Labels = nil
	for i := range points + 1 {
		option.XAxis.Labels = append(option.XAxis.Labels, (time.Duration(i) * step).String())
	}
	option.XAxis.LabelCount = 5
	painter := charts.NewPainter(charts.PainterOptions{OutputFormat: charts.ChartOutputSVG, Width: 560, Height: 260})
	if err := painter.LineChart(option); err != nil {
		return nil, err
	}
	return painter.Bytes()
}

// format writes a value in the panel's unit.
func (p panel) format(v float64) string {
	switch p.FieldConfig.Defaults.Unit {
	case "s":
		return time.Duration(v * float64(time.Second)).Round(100 * time.Microsecond).String()
	case "bytes", "Bps":
		return units.BytesSize(v)
	}
	return strconv.FormatFloat(math.Round(v*100)/100, 'f', -1, 64)
}

var label = regexp.MustCompile(`\{\{(\w+)\}\}`)

// query asks Prometheus for the lines of one expression.
func query(ctx context.Context, expr, legend string, from, to time.Time) ([]series, error) {
	expr = strings.NewReplacer("$__rate_interval", "30s", "$job", ".*", "$instance", ".*").Replace(expr)
	values := url.Values{"query": {expr}, "step": {strconv.Itoa(int(step / time.Second))},
		"start": {strconv.FormatInt(from.Unix(), 10)}, "end": {strconv.FormatInt(to.Unix(), 10)}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+watcher+"/api/v1/query_range?"+values.Encode(), nil)
	if err != nil {
		return nil, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	var answer struct {
		Error string
		Data  struct {
			Result []struct {
				Metric map[string]string
				Values [][2]any
			}
		}
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil || answer.Error != "" {
		return nil, fmt.Errorf("%s: %s: %w", expr, answer.Error, err)
	}
	var out []series
	for _, result := range answer.Data.Result {
		line := series{name: label.ReplaceAllStringFunc(legend, func(s string) string { return result.Metric[label.FindStringSubmatch(s)[1]] }),
			values: slices.Repeat([]float64{charts.GetNullValue()}, int(to.Sub(from)/step)+1)}
		for _, point := range result.Values {
			at, _ := point[0].(float64)
			text, _ := point[1].(string)
			if v, err := strconv.ParseFloat(text, 64); err == nil && !math.IsNaN(v) {
				line.values[min(max(int(at-float64(from.Unix()))/int(step/time.Second), 0), len(line.values)-1)] = v
			}
		}
		out = append(out, line)
	}
	return out, nil
}
