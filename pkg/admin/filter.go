package admin

import (
	"html/template"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
)

// rowsOfPage is how many pods the list shows at a time.
const rowsOfPage = 50

// filter says which pods the list shows. It is what the query of the address says, so that a
// link shows the same to the next reader.
type filter struct {
	// Query has words, of which each has to be found in a pod; see matches.
	Query     string
	Namespace string
	Phase     string
	// Page counts from 1.
	Page int
	// Refresh is after how many seconds a browser without scripts loads the page anew, 0 for
	// never: what was typed is lost then.
	Refresh int
}

// mostRefresh in seconds.
const mostRefresh = 3600

func filterOf(query url.Values) filter {
	number := func(name string, least, most int) int {
		n, _ := strconv.Atoi(query.Get(name))
		return min(max(n, least), most)
	}
	return filter{Query: strings.TrimSpace(query.Get("q")), Namespace: query.Get("namespace"), Phase: query.Get("phase"),
		Page: number("page", 1, 1<<30), Refresh: number("refresh", 0, mostRefresh)}
}

// Active says that some pods may be left out.
func (f filter) Active() bool { return f.Query != "" || f.Namespace != "" || f.Phase != "" }

// link is a query that has the same effect. It is escaped.
func (f filter) link() template.URL {
	query := url.Values{}
	for name, value := range map[string]string{"q": f.Query, "namespace": f.Namespace, "phase": f.Phase} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if f.Page > 1 {
		query.Set("page", strconv.Itoa(f.Page))
	}
	if f.Refresh > 0 {
		query.Set("refresh", strconv.Itoa(f.Refresh))
	}
	return template.URL("?" + query.Encode()) //nolint:gosec // names and values are escaped
}

// At is the link to another page of the same pods.
func (f filter) At(page int) template.URL { f.Page = page; return f.link() }

// In is the link to the pods of one phase.
func (f filter) In(phase string) template.URL { f.Phase, f.Page = phase, 1; return f.link() }

// All is the link to all pods.
func (f filter) All() template.URL { return filter{Refresh: f.Refresh}.link() }

// Renewed is the link to the same pods that are loaded anew after so many seconds.
func (f filter) Renewed(seconds int) template.URL { f.Refresh = seconds; return f.link() }

// fields of a pod by which a word of the query can ask for it, as in image:torch.
var fields = map[string]func(podstatus.View) []string{
	"name":    func(p podstatus.View) []string { return []string{p.Namespace + "/" + p.Name} },
	"uid":     func(p podstatus.View) []string { return []string{string(p.UID)} },
	"sandbox": func(p podstatus.View) []string { return []string{p.Sandbox, p.ContainerID} },
	"address": addresses,
	"image": func(p podstatus.View) []string {
		return of(p, func(c podstatus.ContainerView) string { return c.Image })
	},
	"container": func(p podstatus.View) []string {
		return of(p, func(c podstatus.ContainerView) string { return c.Name })
	},
	"reason": func(p podstatus.View) []string {
		return of(p, func(c podstatus.ContainerView) string { return c.Reason })
	},
}

func addresses(p podstatus.View) []string {
	if p.Network != nil {
		return []string{p.IP, p.Network.Address}
	}
	return []string{p.IP}
}

func of(p podstatus.View, get func(podstatus.ContainerView) string) []string {
	var out []string
	for _, c := range p.Containers {
		out = append(out, get(c))
	}
	return out
}

// matches says whether a pod is shown. A word is found in any of the fields, or in the one
// that it names; the case of letters does not matter.
func (f filter) matches(p podstatus.View) bool {
	if f.Namespace != "" && p.Namespace != f.Namespace || f.Phase != "" && string(p.Phase) != f.Phase {
		return false
	}
	for word := range strings.FieldsSeq(strings.ToLower(f.Query)) {
		field, rest, _ := strings.Cut(word, ":")
		get, named := fields[field]
		// A word with another name before the colon is one: images have tags.
		if named && !contains(get(p), rest) || !named && !anywhere(p, word) {
			return false
		}
	}
	return true
}

func anywhere(p podstatus.View, word string) bool {
	for _, get := range fields {
		if contains(get(p), word) {
			return true
		}
	}
	return false
}

// contains says whether one of the texts has the word, which is in lower case.
func contains(texts []string, word string) bool {
	return slices.ContainsFunc(texts, func(text string) bool { return strings.Contains(strings.ToLower(text), word) })
}

// selection is the part of the pods that a filter shows.
type selection struct {
	Filter filter
	// Pods are those on the present page.
	Pods []podstatus.View
	// First and Last count them from 1, among the Matching ones of All.
	First, Last, Matching, All int
	// Previous and Next pages, 0 for none.
	Previous, Next int
	// Namespaces and Phases are there to choose from; a chosen one is always among them.
	Namespaces, Phases []string
}

func (f filter) choose(all []podstatus.View) selection {
	out := selection{All: len(all)}
	namespaces := map[string]bool{}
	var matching []podstatus.View
	for _, p := range all {
		namespaces[p.Namespace] = true
		if f.matches(p) {
			matching = append(matching, p)
		}
	}
	out.Matching = len(matching)
	// A page that pods have left is the last one that there is.
	f.Page = max(min(f.Page, (out.Matching+rowsOfPage-1)/rowsOfPage), 1)
	from := (f.Page - 1) * rowsOfPage
	out.Pods = matching[from:min(from+rowsOfPage, out.Matching)]
	out.Filter, out.First, out.Last, out.Previous = f, from+1, from+len(out.Pods), f.Page-1
	if out.Last < out.Matching {
		out.Next = f.Page + 1
	}
	if f.Namespace != "" {
		namespaces[f.Namespace] = true
	}
	out.Namespaces = slices.Sorted(maps.Keys(namespaces))
	for _, phase := range podstatus.Phases() {
		out.Phases = append(out.Phases, string(phase))
	}
	if f.Phase != "" && !slices.Contains(out.Phases, f.Phase) {
		out.Phases = append(out.Phases, f.Phase)
	}
	return out
}
