package main

import (
	"bufio"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// write puts text into a file: PATH TEXT.
func write(args []string) int {
	if len(args) != 2 {
		return fail(errors.New("write PATH TEXT"))
	}
	if err := os.WriteFile(args[0], []byte(args[1]), 0o666); err != nil {
		return fail(err)
	}
	return 0
}

// flood writes N megabytes to its output in lines of 1000 bytes.
func flood(args []string) int {
	n, err := number(args)
	if err != nil {
		return fail(err)
	}
	out := bufio.NewWriterSize(os.Stdout, 1<<16)
	line := strings.Repeat("x", 999) + "\n"
	for range n * 1000 {
		if _, err := out.WriteString(line); err != nil {
			return fail(err)
		}
	}
	if err := out.Flush(); err != nil {
		return fail(err)
	}
	return 0
}

// spawn starts N small processes that wait, and says how many it got.
func spawn(args []string) int {
	n, err := number(args)
	if err != nil {
		return fail(err)
	}
	var children []*os.Process
	var last error
	for range n {
		child, err := os.StartProcess("/bin/busybox", []string{"sleep", "600"}, &os.ProcAttr{})
		if err != nil {
			last = err
			break
		}
		children = append(children, child)
	}
	result := escaped("%d processes", len(children))
	if last != nil {
		result = held("%d processes: %v", len(children), last)
	}
	for _, child := range children {
		_ = child.Kill()
		_, _ = child.Wait()
	}
	result.print("spawn")
	return 0
}

// watch makes N inotify instances and says how many it got. It lets go of them.
func watch(args []string) int {
	n, err := number(args)
	if err != nil {
		return fail(err)
	}
	var last error
	got := 0
	for ; got < n; got++ {
		if _, last = unix.InotifyInit1(unix.IN_CLOEXEC); last != nil {
			break
		}
	}
	result := escaped("%d instances", got)
	if last != nil {
		result = held("%d instances: %v", got, last)
	}
	result.print("watch")
	return 0
}

// wait ends when it is told to.
func wait([]string) int {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM, syscall.SIGINT)
	<-stop
	return 0
}

func number(args []string) (int, error) {
	if len(args) != 1 {
		return 0, errors.New("one number is wanted")
	}
	return strconv.Atoi(args[0])
}

// inside runs an attack as root of a user namespace of its own, with all other
// namespaces new as well: NAME.
func inside(args []string) int {
	if len(args) != 1 {
		return fail(errors.New("inside NAME"))
	}
	attack := withinUser[args[0]]
	if attack == nil {
		return fail(fmt.Errorf("no attack %q inside a user namespace", args[0]))
	}
	attack().print(args[0])
	return 0
}

// inUserNamespace runs this program again in new namespaces.
func inUserNamespace(name string) outcome {
	cmd := exec.Command("/proc/self/exe", "inside", name)
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWNET | syscall.CLONE_NEWIPC |
			syscall.CLONE_NEWUTS | unix.CLONE_NEWCGROUP,
		UidMappings: []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.Output()
	fields := strings.SplitN(strings.TrimSpace(string(out)), "\t", 3)
	if len(fields) == 3 {
		saw, _ := strconv.Unquote(fields[2])
		return outcome{fields[1], saw}
	}
	return held("no user namespace: %v", err)
}
