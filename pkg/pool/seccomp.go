package pool

import (
	"encoding/json"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
)

// refusedCalls are system calls that neither an engine nor a pod in a sandbox has a
// use for, and with which its root could reach the whole host: watching its file
// systems, opening files by handle, changing quotas, swap, modules or the kernel.
var refusedCalls = []string{
	"acct", "create_module", "delete_module", "fanotify_init", "finit_module", "get_kernel_syms", "init_module",
	"ioperm", "iopl", "kexec_file_load", "kexec_load", "lookup_dcookie", "nfsservctl", "open_by_handle_at", "query_module",
	"quotactl", "quotactl_fd", "reboot", "swapoff", "swapon", "syslog", "uselib", "vm86", "vm86old",
}

// bpfCall is what a runtime sets the device list of a container with, on control
// groups of version 2 only.
const bpfCall = "bpf"

// seccompProfile is the filter of a sandbox's system calls, in the form of docker's
// profiles. The filters of a pod's containers come on top of it.
func seccompProfile(cgroups1 bool) string {
	names := refusedCalls
	if cgroups1 {
		names = append([]string{bpfCall}, names...)
	}
	type arch struct {
		Architecture     string   `json:"architecture"`
		SubArchitectures []string `json:"subArchitectures"`
	}
	type rule struct {
		Names  []string `json:"names"`
		Action string   `json:"action"`
	}
	profile, err := json.Marshal(struct {
		DefaultAction string `json:"defaultAction"`
		ArchMap       []arch `json:"archMap"`
		Syscalls      []rule `json:"syscalls"`
	}{
		"SCMP_ACT_ALLOW",
		// Programs of 32 bits run in pods too; calls of an architecture that is not
		// named would end the process.
		[]arch{{"SCMP_ARCH_X86_64", []string{"SCMP_ARCH_X86", "SCMP_ARCH_X32"}}, {"SCMP_ARCH_AARCH64", []string{"SCMP_ARCH_ARM"}}},
		[]rule{{names, "SCMP_ACT_ERRNO"}},
	})
	if err != nil {
		panic(err) // plain structs of strings
	}
	return string(profile)
}

// confinement is how the host's engine confines a sandbox.
func (c Config) confinement() []string {
	seccomp := "seccomp=unconfined"
	if c.Seccomp {
		seccomp = "seccomp=" + seccompProfile(c.CgroupsV1)
	}
	return []string{seccomp, "apparmor=unconfined"}
}

// Confine sets what an engine can confine sandboxes with.
func (c *Config) Confine(info engine.Info) {
	c.Seccomp, c.CgroupsV1 = info.Seccomp, info.CgroupVersion == "1"
}
