package usage

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/cgroup"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// place is where one sandbox is measured.
type place struct {
	// whole is the group of the sandbox's container. parents are those of the pod's
	// containers: that of the sandbox's engine, and the one that bounds them together.
	whole   cgroup.Tree
	parents [2]cgroup.Tree
	// sandbox is the id of its container. inode tells its group from one that is made later
	// under the same name, when the sandbox is started again.
	sandbox string
	inode   uint64
	// pid is a process in the sandbox's network, 0 as long as none was found.
	pid int
}

// find looks for the sandbox in the group of all sandboxes; false says that it does not run.
func find(all cgroup.Tree, sandbox string) (*place, bool) {
	whole, found := all.Container(sandbox)
	if !found {
		return nil, false
	}
	inside := whole.Below(initapi.ChildGroup)
	p := &place{sandbox: sandbox, whole: whole, parents: [2]cgroup.Tree{inside.Below(initapi.EngineGroup), inside.Below(initapi.GroupPath)}}
	var ok bool
	p.inode, ok = p.present()
	return p, ok
}

// present is the number of the group that is there now.
func (p *place) present() (uint64, bool) {
	var info unix.Stat_t
	if err := unix.Stat(p.whole.CPU, &info); err != nil {
		return 0, false
	}
	return info.Ino, true
}

// containers is the processor time of all containers that ever ran in the sandbox. A group counts what has been below it as well, so
// containers that have ended, however short, are in it. All of a pod are in one of the two
// groups, beside the one that prepares a sandbox that waits for a pod.
func (r *reader) containers(p *place) (cpu uint64, err error) {
	seen := false
	for _, parent := range p.parents {
		n, err := r.cpu(parent)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return 0, err
		}
		seen = true
		cpu += n
	}
	if !seen {
		return 0, fmt.Errorf("no container has run in the sandbox yet: %w", fs.ErrNotExist)
	}
	return cpu, nil
}

// peaks is the most memory that the pod's containers ever had in the sandbox.
func (r *reader) peaks(p *place) uint64 {
	return max(r.peak(p.parents[0]), r.peak(p.parents[1]))
}

// container has the figures of one that runs; false says that it does not.
func (r *reader) container(p *place, id string) (Figures, bool) {
	// The sandbox's engine gives it, which is not trusted with paths of this host.
	if !containerID.MatchString(id) {
		return Figures{}, false
	}
	for _, parent := range p.parents {
		if f, err := r.figures(parent.Below(id)); err == nil {
			return f, true
		}
	}
	return Figures{}, false
}

// containerID is how an engine names a container.
var containerID = regexp.MustCompile(`^[0-9a-zA-Z]{1,64}$`)

// podInterface is the interface of a sandbox on its network.
const podInterface = "eth0"

// network reads the sandbox's interface, by a process in its network. proc is where /proc
// is; a docker-sd that does not see the host's processes finds none.
func (r *reader) network(p *place, proc string) *Network {
	if p.pid == 0 {
		p.pid = r.process(p, proc)
	}
	if p.pid == 0 {
		return nil
	}
	text, err := r.list(filepath.Join(proc, strconv.Itoa(p.pid), "net/dev"))
	if err != nil {
		p.pid = 0
		return nil
	}
	return parseNetwork(text)
}

// process is the first process of a sandbox: the one of its group that is number 1 in the
// sandbox. All others may end before it.
func (r *reader) process(p *place, proc string) int {
	child := p.whole.Below(initapi.ChildGroup)
	for _, group := range []cgroup.Tree{child, child.Below(initapi.LeafGroup)} {
		text, err := r.list(filepath.Join(group.Memory, "cgroup.procs"))
		if err != nil {
			continue
		}
		for _, word := range bytes.Fields(bytes.Clone(text)) {
			pid, err := strconv.Atoi(string(word))
			if err == nil && pid > 0 && r.isFirst(proc, pid) {
				return pid
			}
		}
	}
	return 0
}

// isFirst says that a process is number 1 in its innermost namespace of process ids.
func (r *reader) isFirst(proc string, pid int) bool {
	text, err := r.list(filepath.Join(proc, strconv.Itoa(pid), "status"))
	if err != nil {
		return false
	}
	for line := range bytes.Lines(text) {
		if ids, found := bytes.CutPrefix(line, []byte("NSpid:")); found {
			words := bytes.Fields(ids)
			return len(words) > 1 && string(words[len(words)-1]) == "1"
		}
	}
	return false
}

// parseNetwork reads the line of the sandbox's interface; nil where it has none.
func parseNetwork(text []byte) *Network {
	for line := range bytes.Lines(text) {
		name, values, _ := bytes.Cut(line, []byte(":"))
		if string(bytes.TrimSpace(name)) != podInterface {
			continue
		}
		words := bytes.Fields(values)
		n := &Network{Interface: podInterface}
		// Eight columns of what was received, then eight of what was sent.
		for at, to := range map[int]*uint64{0: &n.Received, 1: &n.PacketsIn, 2: &n.ErrorsIn, 3: &n.DroppedIn,
			8: &n.Sent, 9: &n.PacketsOut, 10: &n.ErrorsOut, 11: &n.DroppedOut} {
			if at >= len(words) {
				return nil
			}
			value, err := parse(words[at])
			if err != nil {
				return nil
			}
			*to = value
		}
		return n
	}
	return nil
}
