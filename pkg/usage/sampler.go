package usage

import (
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

// sampler looks at all pods, one after the other. It belongs to one goroutine.
type sampler struct {
	meter *Meter
	reader
	// seen has what is kept from one look to the next, by pod.
	seen map[string]*watched
	node *count
	// looks counts them.
	looks int
}

// peakLooks is every how many looks the peak of memory is read. The kernel keeps it, and it
// is read at a pod's end as well: this is for those whose sandbox is lost.
const peakLooks = 6

// watched is what is kept of a pod.
type watched struct {
	sandbox string
	place   *place
	// counts are the last ones of the sandbox, under "", and of its containers by id.
	counts map[string]*count
}

// count is a processor time and when it was read.
type count struct {
	at  time.Time
	cpu uint64
}

// rate sets the cores of figures that were read now, from those before.
func rate(before *count, f *Figures) *count {
	f.Time = time.Now()
	if before != nil && f.CPUNanoseconds >= before.cpu {
		if took := f.Time.Sub(before.at); took > 0 {
			cores := float64(f.CPUNanoseconds-before.cpu) / float64(took)
			f.Cores = &cores
		}
	}
	return &count{f.Time, f.CPUNanoseconds}
}

// look measures all and shows the result.
func (s *sampler) look(subjects []Subject) {
	out := &Report{Time: time.Now(), Pods: []Pod{}}
	if trouble := s.meter.config.Trouble; trouble != nil {
		out.Trouble = trouble.Error()
		s.meter.measured.Store(out)
		return
	}
	if f, err := s.figures(s.meter.config.Groups); err == nil {
		s.node = rate(s.node, &f)
		out.Node = &f
	}
	s.looks++
	there := make(map[string]*watched, len(subjects))
	for _, subject := range subjects {
		if p, w := s.pod(subject); w != nil {
			out.Pods, there[string(subject.UID)] = append(out.Pods, p), w
		}
	}
	s.seen = there
	slices.SortFunc(out.Pods, func(a, b Pod) int {
		return strings.Compare(a.Namespace+"/"+a.Name+"/"+string(a.UID), b.Namespace+"/"+b.Name+"/"+string(b.UID))
	})
	s.meter.measured.Store(out)
}

// pod measures one; nothing is kept of a pod whose sandbox does not run.
func (s *sampler) pod(subject Subject) (Pod, *watched) {
	w := s.watch(subject)
	if w == nil {
		return Pod{}, nil
	}
	whole, err := s.figures(w.place.whole)
	if err != nil {
		return Pod{}, nil
	}
	counts := map[string]*count{"": rate(w.counts[""], &whole)}
	out := Pod{UID: subject.UID, Namespace: subject.Namespace, Name: subject.Name, Figures: whole, Containers: []Container{},
		Network: s.network(w.place, s.meter.config.Proc), Storage: subject.Storage}
	for _, run := range subject.Containers {
		f, runs := s.container(w.place, run.ID)
		if !runs {
			continue
		}
		counts[run.ID] = rate(w.counts[run.ID], &f)
		out.Containers = append(out.Containers, s.describe(subject, run, f))
	}
	w.counts = counts
	s.account(subject.UID, w, whole)
	return out, w
}

// watch finds the sandbox of a pod, anew when it is another one or was started again; nil
// where it does not run.
func (s *sampler) watch(subject Subject) *watched {
	w := s.seen[string(subject.UID)]
	if w != nil && w.sandbox == subject.Sandbox {
		if inode, there := w.place.present(); there && inode == w.place.inode {
			return w
		}
	}
	p, found := find(s.meter.config.Groups, subject.Sandbox)
	if !found {
		return nil
	}
	return &watched{sandbox: subject.Sandbox, place: p}
}

// account adds up what was read of a pod.
func (s *sampler) account(uid types.UID, w *watched, whole Figures) {
	cpu, err := s.containers(w.place)
	peak := uint64(0)
	if s.looks%peakLooks == 0 {
		peak = s.peaks(w.place)
	}
	m := s.meter
	m.mu.Lock()
	defer m.mu.Unlock()
	p, known := m.pods[string(uid)]
	if !known || p.ended {
		return
	}
	p.history.add(whole)
	p.account.PeakWorkingSetBytes = max(p.account.PeakWorkingSetBytes, whole.WorkingSetBytes)
	if p.sandbox = w.sandbox; err == nil {
		p.account.Read(m.nameOf(w.place), cpu, peak)
	}
}

// describe completes what was measured of a container.
func (s *sampler) describe(subject Subject, run Run, f Figures) Container {
	out := Container{Name: run.Name, Init: run.Init, Image: run.Image, Started: run.Started, Figures: f,
		MemoryLimitBytes: run.MemoryLimitBytes, CPULimit: run.CPULimit}
	if subject.Storage != nil {
		if bytes, measured := subject.Storage.Containers[run.Name]; measured {
			out.StorageBytes = &bytes
		}
	}
	out.Devices = s.meter.held(string(subject.UID)).UUIDs(run.Name)
	return out
}
