package metrics_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"

	dto "github.com/prometheus/client_model/go"
)

var update = flag.Bool("update", false, "write docs/observability.md anew")

// TestTableInDocs keeps docs/observability.md what the code does:
// go test ./pkg/metrics -run TableInDocs -update
func TestTableInDocs(t *testing.T) {
	const path, mark, end = "../../docs/observability.md", "<!-- written by pkg/metrics -->\n", "<!-- end -->\n"
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, found := strings.Cut(string(file), mark)
	old, tail, ended := strings.Cut(rest, end)
	if !found || !ended {
		t.Fatalf("%s lacks %q or %q", path, mark, end)
	}
	table := "| metric | type | labels | |\n|---|---|---|---|\n"
	for _, family := range families(t) {
		if own.MatchString(family.GetName()) {
			table += fmt.Sprintf("| `%s` | %s | %s | %s |\n", family.GetName(), strings.ToLower(family.GetType().String()), labelsOf(family), family.GetHelp())
		}
	}
	if *update {
		if err := os.WriteFile(path, []byte(head+mark+table+end+tail), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if old != table {
		t.Errorf("%s is not what the code does: go test ./pkg/metrics -run TableInDocs -update", path)
	}
}

// own are the metrics that are described in the docs, beside those of Go.
var own = regexp.MustCompile("^(docker_sd|container|DCGM)_")

func families(t *testing.T) []*dto.MetricFamily {
	t.Helper()
	m := full()
	m.ShowUsage("node", measured, measuredDevices)
	list, err := m.Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func labelsOf(family *dto.MetricFamily) string {
	var names []string
	for _, pair := range family.GetMetric()[0].GetLabel() {
		names = append(names, "`"+pair.GetName()+"`")
	}
	return strings.Join(names, ", ")
}

var (
	names  = regexp.MustCompile(`\b(?:docker_sd|go|process)_[a-z_]+`)
	groups = regexp.MustCompile(`\bby \(([a-z_, ]+)\)`)
	legend = regexp.MustCompile(`\{\{(\w+)\}\}`)
)

// Every metric and every label of the dashboard exists.
func TestDashboard(t *testing.T) {
	const path = "../../docs/grafana/docker-sd.json"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var board struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr, LegendFormat string }
		}
		Templating struct{ List []struct{ Query string } }
	}
	if err := json.Unmarshal(text, &board); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	known, seen := knownNames(t), map[string]bool{}
	check := func(of, expr string) {
		found := names.FindAllString(expr, -1)
		if len(found) == 0 {
			t.Errorf("%s has no metric: %s", of, expr)
		}
		for _, name := range found {
			if known[name] == nil {
				t.Errorf("%s has the metric %s, which does not exist", of, name)
			}
			seen[name] = true
			for _, group := range append(groups.FindAllStringSubmatch(expr, -1), legend.FindAllStringSubmatch(expr, -1)...) {
				for label := range strings.SplitSeq(group[1], ", ") {
					if !known[name][label] {
						t.Errorf("%s groups %s by %s, which it does not have", of, name, label)
					}
				}
			}
		}
	}
	for _, panel := range board.Panels {
		if len(panel.Targets) == 0 {
			t.Errorf("panel %q shows nothing", panel.Title)
		}
		for _, target := range panel.Targets {
			check(panel.Title, target.Expr)
		}
	}
	for _, variable := range board.Templating.List {
		if strings.HasPrefix(variable.Query, "label_values") {
			check("variable", variable.Query)
		}
	}
	if len(seen) < 20 {
		t.Errorf("the dashboard has %d metrics: %v", len(seen), seen)
	}
}

// knownNames has the labels by every name under which a metric can be asked for.
func knownNames(t *testing.T) map[string]map[string]bool {
	t.Helper()
	known := map[string]map[string]bool{}
	for _, family := range families(t) {
		labels := map[string]bool{"instance": true, "job": true, "le": family.GetType() == dto.MetricType_HISTOGRAM}
		for _, pair := range family.GetMetric()[0].GetLabel() {
			labels[pair.GetName()] = true
		}
		if family.GetType() != dto.MetricType_HISTOGRAM {
			known[family.GetName()] = labels
			continue
		}
		for _, suffix := range []string{"_bucket", "_count", "_sum"} {
			known[family.GetName()+suffix] = labels
		}
	}
	return known
}
