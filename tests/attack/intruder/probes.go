package main

import (
	"os"
	"slices"
	"strings"
)

// attacks on the kernel and on other containers, by name. They run in the container
// as it is.
var attacks = map[string]func() outcome{
	"core-pattern":     corePattern,
	"kernel-settings":  kernelSettings,
	"proc-files":       procFiles,
	"sys-files":        sysFiles,
	"block-devices":    blockDevices,
	"char-devices":     charDevices,
	"fuse-device":      fuseDevice,
	"kernel-log":       kernelLog,
	"kernel-module":    kernelModule,
	"io-ports":         ioPorts,
	"real-time":        realTime,
	"bpf":              bpfMap,
	"perf":             perfEvent,
	"userfault":        userFault,
	"keyring":          keyring,
	"vsock":            vsock,
	"file-handle":      fileHandle,
	"other-roots":      otherRoots,
	"other-programs":   otherPrograms,
	"other-memory":     otherMemory,
	"host-process":     hostProcess,
	"join-namespace":   joinNamespace,
	"mount-proc":       mountProc,
	"mount-sysfs":      mountSysfs,
	"mount-tmpfs":      mountTmpfs,
	"mount-bind":       mountBind,
	"mount-again":      mountAgain,
	"mount-device":     mountDevice,
	"mount-cgroup":     mountCgroup,
	"mount-new-api":    mountNewAPI,
	"cgroup-files":     cgroupFiles,
	"own-bounds":       ownBounds,
	"own-devices":      ownDevices,
	"sockets":          sockets,
	"abstract-sockets": abstractSockets,
	"loopback":         loopback,
	"shared-memory":    sharedMemory,
	"marked-files":     markedFiles,
	"user-proc":        func() outcome { return inUserNamespace("user-proc") },
	"user-sysfs":       func() outcome { return inUserNamespace("user-sysfs") },
	"user-limits":      func() outcome { return inUserNamespace("user-limits") },
	"user-again":       func() outcome { return inUserNamespace("user-again") },
}

// withinUser are the parts of attacks that run as root of a user namespace.
var withinUser = map[string]func() outcome{
	"user-proc":   userProc,
	"user-sysfs":  userSysfs,
	"user-limits": userLimits,
	"user-again":  mountAgain,
	"user-bounds": ownBounds,
}

// byName are attacks that need something of their test's.
var byName = map[string]func() outcome{
	"masked-settings": maskedSettings,
	"user-bounds":     func() outcome { return inUserNamespace("user-bounds") },
}

// probe runs the named attacks, or all that need nothing.
func probe(names []string) int {
	if len(names) == 0 {
		for name := range attacks {
			names = append(names, name)
		}
		slices.Sort(names)
	}
	for _, name := range names {
		attack := attacks[name]
		if attack == nil {
			attack = byName[name]
		}
		if attack == nil {
			attack = func() outcome { return absent("no such attack") }
		}
		attack().print(name)
	}
	return 0
}

// mark is a word that the test has put where only its own side should find it.
func mark() string { return os.Getenv("ATTACK_MARK") }

// listed is a variable that holds several values.
func listed(name string) []string { return strings.Fields(os.Getenv(name)) }
