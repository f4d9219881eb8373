package machine

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// InotifyInstances is how many of them the processes of a user have open, as the folder of
// processes proc shows. Those that end meanwhile are left out.
func InotifyInstances(proc string, uid uint32) (uint64, error) {
	processes, err := filepath.Glob(filepath.Join(proc, "[0-9]*"))
	if err != nil {
		return 0, err
	}
	var n uint64
	for _, process := range processes {
		info, err := os.Stat(process)
		if err != nil {
			continue
		}
		if owner, known := info.Sys().(*syscall.Stat_t); !known || owner.Uid != uid {
			continue
		}
		files, err := os.ReadDir(filepath.Join(process, "fd"))
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ESRCH) {
			return 0, err
		}
		for _, file := range files {
			if target, err := os.Readlink(filepath.Join(process, "fd", file.Name())); err == nil && target == "anon_inode:inotify" {
				n++
			}
		}
	}
	return n, nil
}

// Keys is how many keys of a user count against the kernel's limits, and their bytes, as
// proc/key-users has them.
func Keys(proc string, uid uint32) (number, bytes uint64, err error) {
	text, err := os.ReadFile(filepath.Join(proc, "key-users"))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(text)) {
		//     0:     9 8/8 3/1000000 48/25000000
		words := strings.Fields(line)
		if len(words) != 5 || words[0] != strconv.FormatUint(uint64(uid), 10)+":" {
			continue
		}
		keys, _, _ := strings.Cut(words[3], "/")
		size, _, _ := strings.Cut(words[4], "/")
		n, err := strconv.ParseUint(keys, 10, 64)
		b, err2 := strconv.ParseUint(size, 10, 64)
		if err := errors.Join(err, err2); err != nil {
			return 0, 0, fmt.Errorf("read key-users: %w", err)
		}
		return n, b, nil
	}
	return 0, 0, nil // the user has none
}
