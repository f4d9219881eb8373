package admin

import (
	"bytes"
	"embed"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/docker/go-units"
	"golang.org/x/sync/semaphore"
	"k8s.io/apimachinery/pkg/types"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/usage"
)

//go:embed page
var files embed.FS

const (
	// shownEvents is how many events the list has; the view has all.
	shownEvents = 50
	// shownSandboxes is how many sandboxes it has, the warm ones first.
	shownSandboxes = 50
)

// pagePolicy lets a page load what comes with it and nothing else. Its script cannot make
// elements of strings.
const pagePolicy = "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; form-action 'self'; " +
	"base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

// pages are made anew for each request. What is in them may be a pod's choice, and the
// templates escape it for its place.
type pages struct {
	config    Config
	templates *template.Template
	// owner is nil for a request of docker-sd's owner.
	owner func(*http.Request) error
	// readers have a place for each log that is read.
	readers *semaphore.Weighted
}

func (s *Server) routePages(mux *http.ServeMux) {
	p := &pages{config: s.config, owner: s.inside.owner, readers: semaphore.NewWeighted(logReaders), templates: template.Must(template.New("").Funcs(functions).ParseFS(files, "page/*.html"))}
	mux.HandleFunc("GET /{$}", p.list)
	mux.HandleFunc("GET "+pagePods+"{$}", func(w http.ResponseWriter, r *http.Request) { follow(w, r, "../") })
	mux.HandleFunc("GET "+pagePods+"{uid}", p.pod)
	mux.HandleFunc("GET "+pagePods+"{namespace}/{name}", p.named)
	for name, kind := range map[string]string{"page.css": "text/css; charset=utf-8", "page.js": "text/javascript; charset=utf-8", "icon.svg": "image/svg+xml"} {
		mux.HandleFunc("GET /"+name, file(name, kind))
	}
}

// functions of the templates.
var functions = template.FuncMap{
	"ago":    func(t time.Time) string { return ago(time.Since(t)) },
	"stamp":  stamp,
	"moment": func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
	"class":  func(s any) string { return classOf(fmt.Sprint(s)) },
	"memory": memory,
	"bytes":  func(n int64) string { return units.BytesSize(float64(n)) },
	"path":   func(s any) string { return url.PathEscape(fmt.Sprint(s)) },
	"restarts": func(p podstatus.View) (n int32) {
		for _, c := range p.Containers {
			n += c.Restarts
		}
		return n
	},
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// classOf makes the name of a class of style of a state of a device or a step.
func classOf(state string) string {
	return strings.ReplaceAll(strings.TrimPrefix(strings.TrimSuffix(state, " use"), "set "), " ", "-")
}

// frame is what every page has.
type frame struct {
	Info Info
	// Root leads from the page to the list.
	Root string
	// Title is what the page is about; the list has none.
	Title string
	// Refresh is that of the filter.
	Refresh int
	// Measured says that there is something to see of what pods use.
	Measured bool
	// Starting says that docker-sd has not looked at its pods yet.
	Starting bool
	Now      time.Time
}

func (p *pages) frame(root, title string, starting bool) frame {
	return frame{Info: p.config.Source.Info(), Root: root, Title: title, Measured: p.config.Usage != nil, Starting: starting, Now: time.Now()}
}

// write answers with a page.
func (p *pages) write(w http.ResponseWriter, code int, name string, content any) {
	var body bytes.Buffer
	if err := p.templates.ExecuteTemplate(&body, name, content); err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Security-Policy", pagePolicy)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(code)
	_, _ = w.Write(visible(body.Bytes()))
}

// listPage is what the template of the list is filled with.
type listPage struct {
	frame
	selection
	Phases    []phaseCount
	Pool      Pool
	Sandboxes []Sandbox
	// MoreSandboxes are not shown.
	MoreSandboxes int
	GPUs          []gpu.DeviceState
	Resources     []resource
	Events        []Event
	// Uses are what the pods that are shown use.
	Uses map[types.UID]*use

	names map[types.UID]string
}

// ChosenPhases are the phases to choose from.
func (p listPage) ChosenPhases() []string { return p.selection.Phases }

type phaseCount struct {
	Name  string
	Count int
}

type resource struct {
	Name        string
	Free, Total int64
}

// PodOf is the name of the pod with that uid, or the uid of one that is not known.
func (p listPage) PodOf(uid string) string {
	if name, known := p.names[types.UID(uid)]; known {
		return name
	}
	return uid
}

// Kept says whether a pod is still there.
func (p listPage) Kept(uid types.UID) bool { return p.names[uid] != "" }

func (p *pages) list(w http.ResponseWriter, r *http.Request) {
	source := p.config.Source
	all, events, snapshot := source.Pods(), source.Events().Events, source.GPUs()
	out := listPage{frame: p.frame("", "", all.Starting), selection: filterOf(r.URL.Query()).choose(all.Pods), Pool: source.Pool(), GPUs: snapshot.Devices,
		Events: events[:min(len(events), shownEvents)], names: make(map[types.UID]string, len(all.Pods))}
	out.Refresh = out.Filter.Refresh
	shown := min(len(out.Pool.Sandboxes), shownSandboxes)
	out.Sandboxes, out.MoreSandboxes = out.Pool.Sandboxes[:shown], len(out.Pool.Sandboxes)-shown
	counts := map[podstatus.Phase]int{}
	for _, pod := range all.Pods {
		counts[pod.Phase]++
		out.names[pod.UID] = pod.Namespace + "/" + pod.Name
	}
	for _, phase := range podstatus.Phases() {
		if phase != podstatus.PhaseDeleting || counts[phase] > 0 {
			out.Phases = append(out.Phases, phaseCount{Name: string(phase), Count: counts[phase]})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(snapshot.Totals)) {
		out.Resources = append(out.Resources, resource{Name: name, Free: snapshot.Free[name], Total: snapshot.Totals[name]})
	}
	if p.config.Usage != nil {
		out.Uses = usesOf(p.config.Usage(), out.Pods, out.Now)
	}
	p.write(w, http.StatusOK, "page.html", out)
}

// usesOf is what pods use, by UID.
func usesOf(report usage.Report, shown []podstatus.View, now time.Time) map[types.UID]*use {
	out, wanted := map[types.UID]*use{}, make(map[types.UID]bool, len(shown))
	for _, p := range shown {
		wanted[p.UID] = true
	}
	for _, p := range report.Pods {
		if wanted[p.UID] {
			u := useOf(p.Figures)
			u.Chart = chartOf(p.History, now)
			out[p.UID] = &u
		}
	}
	return out
}

// follow leads a browser to a place relative to the present one, with the same query: a
// server in front of this one may have put it below a folder.
func follow(w http.ResponseWriter, r *http.Request, place string) {
	if r.URL.RawQuery != "" {
		place += "?" + r.URL.RawQuery
	}
	w.Header().Set("Location", place)
	w.WriteHeader(http.StatusFound)
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
