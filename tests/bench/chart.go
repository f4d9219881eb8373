package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/go-analyze/charts"

	"github.com/intertwin-eu/interlink-docker-plugin/tests/figures"
)

// barHeight and chartWidth are in pixels.
const (
	chartWidth = 900
	barHeight  = 26
	margins    = 110
)

// room is left behind a label, because a browser's letters are wider than those
// that the chart is laid out with.
const room = "\u00a0\u00a0\u00a0\u00a0\u00a0"

// ratios are the figures that a chart can show side by side: docker-sd's, with
// what they cost relative to the plain engine. Of the growth it has the starts.
func ratios(measured []Figure) []Figure {
	var out []Figure
	for _, f := range measured {
		grown := strings.HasSuffix(f.Name, "_present") && !strings.HasPrefix(f.Name, "create_running_")
		toOther := strings.HasPrefix(f.Name, "plain_") || strings.HasPrefix(f.Name, "mesh_")
		if f.Ratio > 0 && !toOther && !grown {
			out = append(out, f)
		}
	}
	return out
}

// writeChart draws the ratios as horizontal bars, the first figure on top.
func writeChart(path string, measured []Figure) error {
	shown := ratios(measured)
	if len(shown) == 0 {
		return fmt.Errorf("draw %s: there is no figure with a ratio", path)
	}
	values, names := make([]float64, len(shown)), make([]string, len(shown))
	for i, f := range shown {
		at := len(shown) - 1 - i
		values[at] = f.Ratio
		names[at] = fmt.Sprintf("%s  %s %s", f.Name, figures.Number(f.P50), f.Unit) + room
	}
	option := charts.NewBarChartOptionWithData([][]float64{values})
	option.Horizontal = true
	option.Title.Text = "docker-sd relative to the plain engine"
	option.Title.Subtext = "1 is the same work on the plain engine in the same run; p50, shorter is better"
	option.CategoryAxis.Labels = names
	option.ValueFormatter = func(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) }
	show := true
	for i := range option.SeriesList {
		option.SeriesList[i].Label.Show = &show
		option.SeriesList[i].Label.ValueFormatter = func(v float64) string { return strconv.FormatFloat(v, 'f', 2, 64) }
	}
	painter := charts.NewPainter(charts.PainterOptions{OutputFormat: charts.ChartOutputSVG,
		Width: chartWidth, Height: margins + barHeight*len(shown)})
	if err := painter.BarChart(option); err != nil {
		return fmt.Errorf("draw the chart: %w", err)
	}
	image, err := painter.Bytes()
	if err != nil {
		return fmt.Errorf("draw the chart: %w", err)
	}
	if err := os.WriteFile(path, image, 0o644); err != nil {
		return fmt.Errorf("write the chart: %w", err)
	}
	return nil
}
