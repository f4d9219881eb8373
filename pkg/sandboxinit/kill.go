package sandboxinit

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// killRounds bounds how often the processes are listed: one may fork meanwhile.
const killRounds = 20

// killSession kills a process, its session, and what these have started, in whatever
// session. All are stopped first, so that none starts another one while the list is read,
// or loses its parent by the end of that. One that has left its session and whose
// parent has ended before escapes, and ends with its container.
func killSession(leader int) error {
	found := map[int]bool{leader: true}
	for range killRounds {
		grown := false
		members, err := descendants(found)
		if err != nil {
			return err
		}
		for _, pid := range members {
			grown = grown || !found[pid]
			found[pid] = true
			if err := send(pid, unix.SIGSTOP); err != nil {
				return err
			}
		}
		if !grown {
			break
		}
	}
	for range killRounds {
		members, err := descendants(found)
		if err != nil || len(members) == 0 {
			return err
		}
		for _, pid := range members {
			found[pid] = true
			if err := send(pid, unix.SIGKILL); err != nil {
				return err
			}
		}
	}
	return nil
}

// endSession kills what is left of the session of a process that has ended. The kernel gives
// its id to no other process while the session has members; a process of that id says that
// there are none.
func endSession(leader int) error {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(leader) + "/stat")
	if err == nil && parseStat(string(stat)).state != "Z" {
		return nil
	}
	return killSession(leader)
}

// send sends a signal to a process, which may have ended.
func send(pid int, s unix.Signal) error {
	if err := unix.Kill(pid, s); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("send signal %d to process %d: %w", s, pid, err)
	}
	return nil
}

// descendants lists the processes that live and are among those found, in a session that
// one of them leads, or started by one of these.
func descendants(found map[int]bool) ([]int, error) {
	all, err := processes()
	if err != nil {
		return nil, err
	}
	known := maps.Clone(found)
	for grown := true; grown; {
		grown = false
		for _, p := range all {
			if !known[p.pid] && (known[p.parent] || known[p.session]) {
				known[p.pid], grown = true, true
			}
		}
	}
	var out []int
	for _, p := range all {
		if known[p.pid] && p.state != "Z" {
			out = append(out, p.pid)
		}
	}
	return out, nil
}

// processStat is what is needed of /proc/PID/stat, see proc_pid_stat(5).
type processStat struct {
	pid, parent, session int
	state                string
	// ticks are the processor time of the process and of its children that have ended.
	ticks int64
}

// processes lists those that this process sees, but for the first.
func processes() ([]processStat, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var out []processStat
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid <= 1 {
			continue
		}
		stat, err := os.ReadFile("/proc/" + entry.Name() + "/stat")
		if err != nil {
			continue // it ended just now
		}
		p := parseStat(string(stat))
		p.pid = pid
		out = append(out, p)
	}
	return out, nil
}

// parseStat returns the state, the parent and the session of /proc/PID/stat. The command's
// name before them may hold anything.
func parseStat(stat string) processStat {
	fields := strings.Fields(stat[strings.LastIndex(stat, ")")+1:])
	if len(fields) < 4 {
		return processStat{}
	}
	out := processStat{state: fields[0]}
	out.parent, _ = strconv.Atoi(fields[1])
	out.session, _ = strconv.Atoi(fields[3])
	for _, ticks := range fields[min(11, len(fields)):min(15, len(fields))] {
		n, _ := strconv.ParseInt(ticks, 10, 64)
		out.ticks += n
	}
	return out
}
