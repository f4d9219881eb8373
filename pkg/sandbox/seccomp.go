package sandbox

import (
	"cmp"
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

// hostWide are calls that reach what no namespace parts: keyrings, which all processes
// of one user on a host share, and faults of the kernel itself. A kernel without them
// answers that it has no such call, and engines go on without.
var hostWide = []string{"add_key", "keyctl", "request_key", "userfaultfd"}

const (
	noSuchCall   = 38 // ENOSYS
	noSuchFamily = 97 // EAFNOSUPPORT
	// vsockFamily of sockets reaches the machine's hypervisor, and no network parts it.
	vsockFamily = 40
	// Of a node's mode, the kind, and that of a block device. The device list of a
	// control group does not look at the mount of a disk that the host has mounted
	// already, so that to name one is enough.
	kindOfNode, blockDevice = 0o170000, 0o060000
)

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
	type argument struct {
		Index    uint   `json:"index"`
		Value    uint64 `json:"value"`
		ValueTwo uint64 `json:"valueTwo,omitempty"`
		Op       string `json:"op"`
	}
	type arch struct {
		Architecture     string   `json:"architecture"`
		SubArchitectures []string `json:"subArchitectures"`
	}
	type rule struct {
		Names    []string   `json:"names"`
		Action   string     `json:"action"`
		ErrnoRet uint       `json:"errnoRet,omitempty"`
		Args     []argument `json:"args,omitempty"`
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
		[]rule{
			{Names: names, Action: "SCMP_ACT_ERRNO"},
			{Names: hostWide, Action: "SCMP_ACT_ERRNO", ErrnoRet: noSuchCall},
			{Names: []string{"socket"}, Action: "SCMP_ACT_ERRNO", ErrnoRet: noSuchFamily, Args: []argument{{Value: vsockFamily, Op: "SCMP_CMP_EQ"}}},
			{Names: []string{"mknod"}, Action: "SCMP_ACT_ERRNO", Args: []argument{{Index: 1, Value: kindOfNode, ValueTwo: blockDevice, Op: "SCMP_CMP_MASKED_EQ"}}},
			{Names: []string{"mknodat"}, Action: "SCMP_ACT_ERRNO", Args: []argument{{Index: 2, Value: kindOfNode, ValueTwo: blockDevice, Op: "SCMP_CMP_MASKED_EQ"}}},
		},
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
	return []string{seccomp, "apparmor=" + cmp.Or(c.AppArmor, AppArmorUnconfined)}
}

// Confine sets what an engine can confine sandboxes with.
func (c *Config) Confine(info engine.Info) {
	c.Seccomp, c.CgroupsV1 = info.Seccomp, info.CgroupVersion == "1"
}
