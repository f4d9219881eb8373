package admin

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/docker/go-units"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/usage"
)

// pagePods is the path of pages of pods, by UID, NAMESPACE/NAME, or a NAME that no other pod has.
const pagePods = "/pods/"

// podPage is what the template of a pod is filled with. Whoever reaches the admin address
// sees what the views have, and the timeline; Owned and Log are the owner's.
type podPage struct {
	frame
	Pod        podstatus.View
	Containers []containerRow
	Devices    []deviceRow
	Graphs     []graph
	Figures    []figure
	// InUse says that something is known of what a container uses.
	InUse bool
	// Trouble says why nothing is measured.
	Trouble string
	bars
	Events []Event
	Owned  *Description
	Log    *logTail
}

// Every is how long a browser waits before it asks again: longer where reading the log takes long.
func (p podPage) Every() time.Duration {
	if p.Log != nil && p.Log.Slow {
		return 10 * logLimit
	}
	return 2 * time.Second
}

// containerRow is a container, and what the owner sees of it in addition.
type containerRow struct {
	podstatus.ContainerView
	Use *use
	// Words are what the container wrote at its end, or the engine when it refused it.
	Words    string
	Settings []setting
}

// deviceRow is an accelerator of the pod, and what it does.
type deviceRow struct{ Name, UUID, Load string }

type figure struct{ Name, Value string }

// missingPage says that there is no such pod, or not yet.
type missingPage struct {
	frame
	Wanted  string
	Nearest []podstatus.View
	// Events of a pod of that UID or name.
	Events []Event
}

// missing answers where there is no pod of a name, with those that have one like it.
func (p *pages) missing(w http.ResponseWriter, root, wanted string, all Pods) {
	out := missingPage{frame: p.frame(root, "no pod "+wanted, all.Starting), Wanted: wanted, Nearest: NearestPods(all.Pods, wanted)}
	for _, e := range p.config.Source.Events().Events {
		if string(e.PodUID) == wanted || e.PodName != "" && e.Namespace+"/"+e.PodName == wanted {
			out.Events = append(out.Events, e)
		}
	}
	code := http.StatusNotFound
	if all.Starting {
		code = http.StatusServiceUnavailable
	}
	p.write(w, code, "missing.html", out)
}

// named leads from the name of a pod to its page. Of two pods with one name, of which one is
// being deleted, it is the younger.
func (p *pages) named(w http.ResponseWriter, r *http.Request) {
	all, namespace, name := p.config.Source.Pods(), r.PathValue("namespace"), r.PathValue("name")
	var found *podstatus.View
	for i := range all.Pods {
		one := &all.Pods[i]
		if one.Namespace == namespace && one.Name == name && (found == nil || one.Created.After(found.Created)) {
			found = one
		}
	}
	if found == nil {
		p.missing(w, "../../", namespace+"/"+name, all)
		return
	}
	follow(w, r, "../"+escape(found.UID))
}

// escape makes a UID a segment of a relative path.
func escape(uid types.UID) string { return strings.TrimPrefix(podPath(uid, ""), PathPods+"/") }

func (p *pages) pod(w http.ResponseWriter, r *http.Request) {
	all, wanted := p.config.Source.Pods(), r.PathValue("uid")
	var byName []podstatus.View
	for _, pod := range all.Pods {
		if string(pod.UID) == wanted {
			p.show(w, r, pod, all)
			return
		}
		if pod.Name == wanted {
			byName = append(byName, pod)
		}
	}
	if len(byName) == 1 {
		follow(w, r, "./"+escape(byName[0].UID))
		return
	}
	p.missing(w, "../", wanted, all)
}

func (p *pages) show(w http.ResponseWriter, r *http.Request, pod podstatus.View, all Pods) {
	out := podPage{frame: p.frame("../", pod.Namespace+"/"+pod.Name, false), Pod: pod}
	var description Description
	into := p.inside()
	if into != nil {
		seen, err := into.Describe(pod.UID)
		if errdefs.IsNotFound(err) { // it has gone just now
			p.missing(w, out.Root, string(pod.UID), all)
			return
		} else if err != nil {
			http.Error(w, err.Error(), p.config.Status(err))
			return
		}
		// These two are for all, the rest is not; see Description.
		out.bars, out.Events, description = barsOf(pod.Created, seen.Timeline), seen.Events, seen
	} else {
		out.Events = slices.DeleteFunc(slices.Clone(p.config.Source.Events().Events), func(e Event) bool { return e.PodUID != pod.UID })
	}
	for _, c := range pod.Containers {
		out.Containers = append(out.Containers, containerRow{ContainerView: c})
	}
	p.measure(&out)
	if into != nil && p.owner(r) == nil {
		out.own(description)
		out.Log = p.tail(r, into, pod.UID, description)
	}
	p.write(w, http.StatusOK, "pod.html", out)
}

// inside is nil where there is no way into pods, or not yet.
func (p *pages) inside() Inside {
	if p.config.Inside == nil {
		return nil
	}
	return p.config.Inside()
}

// own adds what only the owner sees.
func (p *podPage) own(d Description) {
	p.Owned = &d
	for _, c := range d.Containers {
		for i := range p.Containers {
			if row := &p.Containers[i]; row.Name == c.Spec.Name {
				row.Settings, row.Words = settingsOf(c.Spec), words(c.Status, row.Message)
			}
		}
	}
}

// words are what a status says beyond what the view of it shows.
func words(s v1.ContainerStatus, shown string) string {
	text := ""
	switch {
	case s.State.Terminated != nil:
		text = s.State.Terminated.Message
	case s.State.Waiting != nil && s.State.Waiting.Message != "":
		text = s.State.Waiting.Message
	case s.LastTerminationState.Terminated != nil:
		text = s.LastTerminationState.Terminated.Message
	}
	if text == shown {
		return ""
	}
	return text
}

// measure adds what the pod uses.
func (p *pages) measure(out *podPage) {
	var report usage.Report
	if p.config.Usage != nil {
		report = p.config.Usage()
		out.Trouble = report.Trouble
	}
	for _, d := range p.config.Source.GPUs().Devices {
		if !slices.Contains(d.Holders, string(out.Pod.UID)) {
			continue
		}
		row := deviceRow{Name: d.Name, UUID: d.UUID}
		for _, load := range report.Devices {
			if load.UUID != d.UUID {
				continue
			}
			row.Load = units.BytesSize(float64(load.MemoryUsedBytes)) + " of " + units.BytesSize(float64(load.MemoryTotalBytes))
			if load.Utilization != nil {
				row.Load = fmt.Sprintf("%d %%, %s", *load.Utilization, row.Load)
			}
		}
		out.Devices = append(out.Devices, row)
	}
	at := slices.IndexFunc(report.Pods, func(u usage.Pod) bool { return u.UID == out.Pod.UID })
	if at < 0 {
		return
	}
	used := report.Pods[at]
	if out.Graphs = graphsOf(used, out.Now); out.Graphs == nil {
		now := useOf(used.Figures)
		out.Figures = []figure{{"Processor", cmp.Or(now.CPU, "not yet known")}, {"Memory", now.Memory}}
	}
	if n := used.Network; n != nil {
		out.Figures = append(out.Figures, figure{"Received", units.BytesSize(float64(n.Received))}, figure{"Sent", units.BytesSize(float64(n.Sent))})
	}
	if s := used.Storage; s != nil {
		out.Figures = append(out.Figures, figure{"On disk", units.BytesSize(float64(s.Bytes))})
	}
	for _, c := range used.Containers {
		for i := range out.Containers {
			if row := &out.Containers[i]; row.Name == c.Name {
				u := useOf(c.Figures)
				if c.MemoryLimitBytes > 0 {
					u.Memory += " of " + units.BytesSize(float64(c.MemoryLimitBytes))
				}
				if c.CPULimit > 0 && u.CPU != "" {
					u.CPU += fmt.Sprintf(" of %g", c.CPULimit)
				}
				row.Use, out.InUse = &u, true
			}
		}
	}
}

// bars are the moments of a start, drawn below each other.
type bars struct {
	Timeline []bar
	// StartTook is how long the start took, "" if that is not known.
	StartTook string
}

// bar is a moment, and where it is on a line of 100 units that is the start.
type bar struct {
	Moment
	After string
	From  float64
	// Width is 0 for what does not belong to the start any more.
	Width float64
}

const (
	barUnits = 100
	// leastBar is the width of what took no time.
	leastBar = 0.8
	// restGap is how long nothing happens before what comes is not a start any more, unless the
	// start took longer than that until then.
	restGap = 30 * time.Second
)

func barsOf(created time.Time, moments []Moment) bars {
	var out bars
	end, parts := startOf(created, moments)
	if end > 0 {
		out.StartTook = short(end)
	}
	for i, m := range moments {
		from := m.Time.Sub(created)
		b := bar{Moment: m, After: "+" + short(max(from, 0))}
		if i < parts && end > 0 && from <= end {
			b.From = float64(max(from, 0)) / float64(end) * barUnits
			b.Width = max(float64(m.Took)/float64(end)*barUnits, leastBar)
			if m.State == StepGoesOn {
				b.Width = barUnits - b.From
			}
			b.Width = max(b.Width, leastBar)
			b.From = min(b.From, barUnits-leastBar)
		}
		out.Timeline = append(out.Timeline, b)
	}
	return out
}

// startOf finds how long a start took, and how many of the moments belong to it: those until a
// container is made or started again, or nothing happens for long. An end is no part of a
// start that makes it longer.
func startOf(created time.Time, moments []Moment) (end time.Duration, parts int) {
	type step struct{ what, container string }
	seen := map[step]bool{}
	for _, m := range moments {
		from, one := max(m.Time.Sub(created), 0), step{m.What, m.Container}
		if from > end+max(restGap, end) || one.container != "" && seen[one] {
			break
		}
		seen[one] = true
		if m.What != MomentEnded {
			end = max(end, from+m.Took)
		}
		parts++
	}
	return end, parts
}

// short is a time with at most three digits that matter.
func short(d time.Duration) string {
	switch {
	case d >= time.Hour:
		return d.Round(time.Minute).String()
	case d >= time.Minute:
		return d.Round(time.Second).String()
	case d >= time.Second:
		return d.Round(10 * time.Millisecond).String()
	}
	return d.Round(time.Millisecond).String()
}
