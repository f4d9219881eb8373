package admin

import (
	"encoding/xml"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/usage"
)

var noon = time.Unix(1700000000, 0)

func TestChartOf(t *testing.T) {
	at := func(ago time.Duration, cores float32, kib uint32) usage.Point {
		return usage.Point{Second: noon.Add(-ago).Unix(), Cores: cores, KiB: kib}
	}
	for name, c := range map[string]struct {
		history []usage.Point
		want    *chart
	}{
		"nothing":                    {nil, nil},
		"one point":                  {[]usage.Point{at(0, 1, 1)}, nil},
		"one point of the last hour": {[]usage.Point{at(2*time.Hour, 1, 1), at(0, 1, 1)}, nil},
		"the whole hour": {[]usage.Point{at(time.Hour-time.Second, 0, 1024), at(30*time.Minute, 1, 512), at(0, 2, 2048)},
			&chart{"0,27 58,14 120,1", "0,14 58,20 120,1", "last hour: up to 2.00 cores, 2MiB"}},
		"an average and a peak": {[]usage.Point{at(30*time.Minute, 4, 10), at(60*time.Second, 1, 10), at(30*time.Second, 3, 20), at(0, 2, 5)},
			&chart{"58,1 120,14", "58,14 120,1", "last hour: up to 4.00 cores, 20KiB"}},
		"idle":             {[]usage.Point{at(5*time.Minute, 0, 0), at(0, 0, 0)}, &chart{"110,27 120,27", "110,27 120,27", "last hour: up to 0.00 cores, 0B"}},
		"a clock set back": {[]usage.Point{at(-time.Hour, 1, 1), at(5*time.Minute, 1, 1), at(0, 1, 1)}, &chart{"110,1 120,1", "110,1 120,1", "last hour: up to 1.00 cores, 1KiB"}},
	} {
		if diff := cmp.Diff(c.want, chartOf(c.history, noon)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// onePod is a node with two pods.
type onePod struct{}

func (onePod) Info() Info { return Info{} }
func (onePod) Pods() Pods {
	return Pods{Pods: []podstatus.View{{UID: "u1", Name: "measured"}, {UID: "u2", Name: "unknown"}}}
}
func (onePod) Pool() Pool         { return Pool{} }
func (onePod) GPUs() gpu.Snapshot { return gpu.Snapshot{} }
func (onePod) Events() Events     { return Events{} }
func (onePod) Troubles() []string { return nil }

// TestChartOnPage: a full hour is drawn as one small picture, which is well-formed, and a pod
// of which nothing is known has none. Without a meter there is no column.
func TestChartOnPage(t *testing.T) {
	n := 1.25
	pod := usage.Pod{UID: "u1", Figures: usage.Figures{Cores: &n, WorkingSetBytes: 3 << 20}}
	for i := range 120 {
		pod.History = append(pod.History, usage.Point{Second: time.Now().Add(-time.Duration(119-i) * 30 * time.Second).Unix(), Cores: 1, KiB: 7})
	}
	page := func(report func() usage.Report) string {
		answer := httptest.NewRecorder()
		New(Config{Source: onePod{}, Metrics: http.NotFoundHandler(), Usage: report}).Handler().ServeHTTP(answer, httptest.NewRequest("GET", "http://127.0.0.1/", nil))
		return answer.Body.String()
	}
	body := page(func() usage.Report { return usage.Report{Pods: []usage.Pod{pod}} })
	pictures := regexp.MustCompile(`(?s)<svg.*?</svg>`).FindAllString(body, -1)
	if len(pictures) != 1 || len(pictures[0]) > 1200 || !strings.Contains(body, "1.25 cores") || !strings.Contains(body, "3MiB") {
		t.Fatalf("pictures %q on\n%s", pictures, body)
	}
	var svg struct {
		Title string `xml:"title"`
		Lines []struct {
			Points string `xml:"points,attr"`
		} `xml:"polyline"`
	}
	if err := xml.Unmarshal([]byte(pictures[0]), &svg); err != nil || len(svg.Lines) != 2 || len(strings.Fields(svg.Lines[0].Points)) != chartPoints || svg.Title == "" {
		t.Errorf("%v: %+v", err, svg)
	}
	if strings.Contains(body, " style=") {
		t.Error("the page has a style of its own, which its policy forbids")
	}
	if body := page(nil); strings.Contains(body, "<svg") || strings.Contains(body, "last hour") {
		t.Errorf("without a meter:\n%s", body)
	}
}
