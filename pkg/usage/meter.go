package usage

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/containerd/containerd/log"
	"golang.org/x/sys/unix"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/cgroup"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
)

const (
	// period is the time between two looks at all pods, as that of kubelet.
	period = 10 * time.Second
	// devicePeriod is the time between two looks at the accelerators: how much they work is
	// told of the last moment only.
	devicePeriod = 5 * time.Second
	// savePeriod is the time between two writes of the accounts.
	savePeriod = time.Minute
)

// Accelerators tells what accelerators do, and who has them.
type Accelerators interface {
	// Loads are those of this moment. With an error it has those that are known.
	Loads(ctx context.Context) ([]gpu.Load, error)
	// Held is what a pod holds.
	Held(podUID string) gpu.Assignment
}

// Config of a Meter.
type Config struct {
	// Node is the Instance of docker-sd.
	Node string
	// Groups is the control group of all sandboxes, and Trouble why it cannot be read.
	Groups  cgroup.Tree
	Trouble error
	// Proc is where /proc is.
	Proc string
	// StatePath is the file with the accounts of pods that have not ended, AccountingFile
	// that with a line for each that has; "" is none.
	StatePath, AccountingFile string
	Accelerators              Accelerators
}

// Meter measures pods. Its mutex guards the maps, never a file.
type Meter struct {
	config  Config
	boot    string
	journal journal
	// measured is what the last look has found, loads what the drivers have told last.
	measured atomic.Pointer[Report]
	loads    atomic.Pointer[[]gpu.Load]

	saving sync.Mutex

	mu   sync.Mutex
	pods map[string]*metered
	// earlier are the accounts of an earlier run, and accounted are pods that have a line
	// already; both until Run, when all pods of that run are known again.
	earlier   map[string]Account
	accounted map[string]bool
	// unwritten are lines that could not be written yet.
	unwritten []Bill
	// changed says that the file of the accounts is older than what a restart has to know.
	changed bool
}

// metered is one pod that has not ended.
type metered struct {
	account Account
	sandbox string
	history history
	// since is when this docker-sd learned of the pod.
	since time.Time
	// ended says that the account is being settled, written that the pod has its line.
	ended, written bool
}

// New makes a Meter, and reads what an earlier run has kept. An error of that is for the
// log: pods are measured all the same, from now on.
func New(config Config) (*Meter, error) {
	m := &Meter{config: config, boot: bootID(config.Proc), journal: journal{config.AccountingFile}, pods: map[string]*metered{}}
	kept, err := load(config.StatePath)
	accounted, unread := m.journal.accounted()
	m.earlier, m.accounted = kept.Accounts, accounted
	m.unwritten = slices.DeleteFunc(kept.Unwritten, func(b Bill) bool { return accounted[b.UID] })
	return m, errors.Join(err, unread, m.journal.check())
}

// Began is told of a pod that has not ended, new or of an earlier run.
func (m *Meter) Began(podUID string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if _, known := m.pods[podUID]; !known {
		m.pods[podUID] = &metered{account: m.earlier[podUID], written: m.accounted[podUID], since: time.Now()}
	}
}

// Placed is told of the sandbox of a pod, by the id of its container, and since when the pod
// may have one. fresh says that nothing of the pod has run in it yet.
func (m *Meter) Placed(podUID, sandbox string, since time.Time, fresh bool) {
	group, cpu, peak, err := m.read(sandbox)
	m.mu.Lock()
	defer m.mu.Unlock()
	p, known := m.pods[podUID]
	if !known || p.ended {
		return
	}
	p.sandbox, m.changed = sandbox, true
	switch {
	case fresh:
		p.account.Begin(group, cpu)
	case err == nil:
		p.account.Read(group, cpu, peak)
	}
	if p.account.Placed.IsZero() {
		p.account.Placed = since
	}
}

// read reads what the containers in a sandbox have used. An error says that nothing has
// run there, or that it is gone.
func (m *Meter) read(sandbox string) (group string, cpu, peak uint64, err error) {
	if m.config.Trouble != nil {
		return "", 0, 0, m.config.Trouble
	}
	p, found := find(m.config.Groups, sandbox)
	if !found {
		return "", 0, 0, unix.ENOENT
	}
	r := &reader{}
	cpu, err = r.containers(p)
	return m.nameOf(p), cpu, r.peaks(p), err
}

// nameOf a group that no other has, before or after a boot.
func (m *Meter) nameOf(p *place) string { return fmt.Sprintf("%s/%s/%d", m.boot, p.sandbox, p.inode) }

// Settle ends the account of a pod, writes its line and says what the pod has used. false
// says that the pod is not known, or was settled before. It may be called as long as the pod
// holds its devices and its sandbox is there. With an error the line is tried again later.
func (m *Meter) Settle(e Ending) (bill Bill, settled bool, err error) {
	m.mu.Lock()
	p, known := m.pods[e.UID]
	if !known || p.ended {
		m.mu.Unlock()
		return Bill{}, false, nil
	}
	p.ended = true
	sandbox, account, written := p.sandbox, p.account, p.written // a save may read those of the pod
	m.mu.Unlock()
	if group, cpu, peak, err := m.read(sandbox); err == nil {
		account.Read(group, cpu, peak)
	}
	bill = account.bill(m.config.Node, e, m.held(e.UID).Devices(), time.Now())
	if !written {
		err = m.journal.write(bill)
	}
	again := err != nil && !errors.Is(err, errNotSynced)
	m.mu.Lock()
	// Not before the line is written: a restart needs the account till then.
	delete(m.pods, e.UID)
	m.changed = true
	if again {
		m.unwritten = append(m.unwritten, bill)
	}
	m.mu.Unlock()
	if again {
		// The pod's record says next that it has ended, so this does not wait for the next look.
		err = errors.Join(err, m.save())
	}
	return bill, true, err
}

// held is what a pod holds of accelerators.
func (m *Meter) held(podUID string) gpu.Assignment {
	if m.config.Accelerators == nil {
		return gpu.Assignment{}
	}
	return m.config.Accelerators.Held(podUID)
}

// Forget is told of a pod that is gone, whether it was settled or not.
func (m *Meter) Forget(podUID string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.pods, podUID)
}

// Report is what was measured last, of the pods that have not ended since.
func (m *Meter) Report() Report {
	measured := m.measured.Load()
	if measured == nil {
		return Report{Pods: []Pod{}, Starting: true}
	}
	out := *measured
	out.Pods = make([]Pod, 0, len(measured.Pods))
	m.mu.Lock()
	for _, p := range measured.Pods {
		if known, there := m.pods[string(p.UID)]; there && !known.ended {
			p.Started, p.History = known.account.Placed, known.history.list()
			out.Pods = append(out.Pods, p)
		}
	}
	m.mu.Unlock()
	if loads := m.loads.Load(); loads != nil {
		for _, l := range *loads {
			out.Devices = append(out.Devices, Device(l))
		}
	}
	return out
}

// Run looks at the pods that subjects lists, and at the accelerators, until ctx ends. What
// pods have used is on disk when it returns.
func (m *Meter) Run(ctx context.Context, subjects func() []Subject) {
	m.mu.Lock()
	m.earlier, m.accounted = nil, nil
	m.mu.Unlock()
	var group sync.WaitGroup
	defer group.Wait()
	group.Go(func() { m.runDevices(ctx) })
	eye := &sampler{meter: m, seen: map[string]*watched{}}
	tick := time.NewTicker(period)
	defer tick.Stop()
	saved, failed := time.Now(), ""
	for ctx.Err() == nil {
		eye.look(subjects())
		m.writeAgain()
		if m.due(time.Since(saved)) {
			saved = time.Now()
			failed = tell(ctx, failed, m.save(), "what pods have used could not be saved; a restart of docker-sd may lose a part of it")
		}
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
	tell(ctx, failed, m.save(), "what pods have used could not be saved; the next docker-sd may lose a part of it")
}

// tell logs a failure that is not the one before, and returns what to compare the next with.
func tell(ctx context.Context, before string, err error, message string) string {
	if err == nil {
		return ""
	}
	if err.Error() != before {
		log.G(ctx).WithError(err).Warn(message)
	}
	return err.Error()
}

// due says that the accounts are to be saved.
func (m *Meter) due(since time.Duration) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.changed || since >= savePeriod && len(m.pods) > 0
}

// save writes the accounts of the pods that have not ended.
func (m *Meter) save() error {
	m.saving.Lock() // the file is this mutex's: an older state must not replace a newer one
	defer m.saving.Unlock()
	m.mu.Lock()
	s := stored{Version: storedVersion, Accounts: map[string]Account{}, Unwritten: slices.Clone(m.unwritten)}
	for uid, p := range m.pods {
		s.Accounts[uid] = p.account
	}
	m.changed = false
	m.mu.Unlock()
	err := s.save(m.config.StatePath)
	if err != nil {
		m.mu.Lock()
		m.changed = true
		m.mu.Unlock()
	}
	return err
}

// writeAgain tries lines again that could not be written, the oldest first.
func (m *Meter) writeAgain() {
	for {
		m.mu.Lock()
		if len(m.unwritten) == 0 {
			m.mu.Unlock()
			return
		}
		first := m.unwritten[0]
		m.mu.Unlock()
		if err := m.journal.write(first); err != nil && !errors.Is(err, errNotSynced) {
			return
		}
		m.mu.Lock()
		m.unwritten, m.changed = m.unwritten[1:], true
		m.mu.Unlock()
	}
}

// runDevices looks at the accelerators until ctx ends.
func (m *Meter) runDevices(ctx context.Context) {
	if m.config.Accelerators == nil {
		return
	}
	tick := time.NewTicker(devicePeriod)
	defer tick.Stop()
	failed, before := "", time.Time{}
	for ctx.Err() == nil {
		loads, err := m.config.Accelerators.Loads(ctx)
		failed = tell(ctx, failed, err, "what accelerators do cannot be told")
		now := time.Now()
		// Nothing is said of a time in which nobody looked.
		if took := now.Sub(before); took <= 3*devicePeriod {
			m.work(loads, took)
		}
		m.loads.Store(&loads)
		before = now
		select {
		case <-ctx.Done():
		case <-tick.C:
		}
	}
}

// work adds to the accounts what accelerators have done.
func (m *Meter) work(loads []gpu.Load, took time.Duration) {
	busy := map[string]float64{}
	for _, l := range loads {
		if l.Utilization != nil && *l.Utilization > 0 {
			busy[l.UUID] = float64(min(*l.Utilization, 100)) / 100 * took.Seconds()
		}
	}
	if len(busy) == 0 {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := time.Now()
	for uid, p := range m.pods {
		// What the device did before the pod came is another's.
		share := min(1, float64(now.Sub(p.since))/float64(took))
		for _, device := range m.held(uid).Devices() {
			if !p.ended {
				p.account.BusySeconds += busy[device] * share
			}
		}
	}
}
