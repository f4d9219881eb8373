package sandboxinit

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// killSession kills every process of a session. One that leaves its session escapes,
// and ends with its container.
func killSession(leader int) error {
	// Again until none is left: a process may fork while the list is read.
	for range 10 {
		members, err := sessionMembers(leader)
		if err != nil {
			return err
		}
		if len(members) == 0 {
			return nil
		}
		for _, pid := range members {
			if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
				return fmt.Errorf("kill process %d: %w", pid, err)
			}
		}
	}
	return nil
}

func sessionMembers(leader int) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var out []int
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil || pid <= 1 {
			continue
		}
		stat, err := os.ReadFile("/proc/" + entry.Name() + "/stat")
		if err != nil {
			continue // it ended just now
		}
		if state, session := parseStat(string(stat)); session == leader && state != "Z" {
			out = append(out, pid)
		}
	}
	return out, nil
}

// parseStat returns the state and the session of /proc/PID/stat, see
// proc_pid_stat(5). The command's name before them may hold anything.
func parseStat(stat string) (state string, session int) {
	fields := strings.Fields(stat[strings.LastIndex(stat, ")")+1:])
	if len(fields) < 4 {
		return "", 0
	}
	session, _ = strconv.Atoi(fields[3])
	return fields[0], session
}
