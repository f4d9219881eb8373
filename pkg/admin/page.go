package admin

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/docker/go-units"
	"k8s.io/apimachinery/pkg/types"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/usage"
)

//go:embed page
var files embed.FS

// shownEvents is how many events the page has; the view has all.
const shownEvents = 50

// page is what the template is filled with.
type page struct {
	Info      Info
	Pods      []podstatus.View
	Phases    map[string]int
	Pool      Pool
	GPUs      []gpu.DeviceState
	Resources []resource
	Events    []Event
	// Uses are what pods use; nil where that is not measured.
	Uses map[types.UID]use
}

type resource struct {
	Name        string
	Free, Total int64
}

func newPage(source Source, report func() usage.Report) page {
	snapshot, events := source.GPUs(), source.Events().Events
	p := page{Info: source.Info(), Pods: source.Pods().Pods, Pool: source.Pool(), GPUs: snapshot.Devices,
		Phases: map[string]int{}, Events: events[:min(len(events), shownEvents)]}
	if report != nil {
		p.Uses = usesOf(report(), time.Now())
	}
	for _, phase := range podstatus.Phases() {
		p.Phases[string(phase)] = 0
	}
	for _, pod := range p.Pods {
		p.Phases[string(pod.Phase)]++
	}
	for _, name := range slices.Sorted(maps.Keys(snapshot.Totals)) {
		p.Resources = append(p.Resources, resource{Name: name, Free: snapshot.Free[name], Total: snapshot.Totals[name]})
	}
	return p
}

// PodOf is the name of the pod with that uid, or the uid of one that is not known.
func (p page) PodOf(uid string) string {
	for _, pod := range p.Pods {
		if string(pod.UID) == uid {
			return pod.Namespace + "/" + pod.Name
		}
	}
	return uid
}

// pageHandler makes the page anew for each request; what is in it may be a pod's
// choice, and the template escapes it for its place.
func pageHandler(source Source, report func() usage.Report) http.HandlerFunc {
	parsed := template.Must(template.New("page.html").Funcs(template.FuncMap{
		"ago":    func(t time.Time) string { return ago(time.Since(t)) },
		"stamp":  func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"class":  func(s gpu.State) string { return strings.TrimPrefix(strings.TrimSuffix(string(s), " use"), "set ") },
		"memory": memory,
		"bytes":  func(n int64) string { return units.BytesSize(float64(n)) },
		"restarts": func(p podstatus.View) (n int32) {
			for _, c := range p.Containers {
				n += c.Restarts
			}
			return n
		},
	}).ParseFS(files, "page/page.html"))
	return func(w http.ResponseWriter, _ *http.Request) {
		var body bytes.Buffer
		if err := parsed.Execute(&body, newPage(source, report)); err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write(body.Bytes())
	}
}

// file is a part of the page. Its type is not left to the tables of the host: a
// browser runs no script that is called something else.
func file(name, kind string) http.HandlerFunc {
	body, err := files.ReadFile("page/" + name)
	if err != nil {
		panic(err) // it is embedded above
	}
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		_, _ = w.Write(body)
	}
}

// ago is short, and changes rarely once much time has passed: the page is drawn
// anew when it does.
func ago(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%d d", d/(24*time.Hour))
	case d >= 2*time.Hour:
		return fmt.Sprintf("%d h", d/time.Hour)
	case d >= 2*time.Minute:
		return fmt.Sprintf("%d min", d/time.Minute)
	}
	return fmt.Sprintf("%d s", max(d, 0)/time.Second)
}

func memory(bytes uint64) string {
	if bytes == 0 {
		return ""
	}
	return units.BytesSize(float64(bytes))
}
