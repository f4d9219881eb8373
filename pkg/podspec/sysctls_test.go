package podspec

import "testing"

// TestUnsafeSysctls: they are the operator's to allow, and only those that a pod has
// to itself.
func TestUnsafeSysctls(t *testing.T) {
	allowing := func(names ...string) Node { return Node{UnsafeSysctls: names} }
	for _, c := range []struct {
		node    Node
		name    string
		allowed bool
	}{
		{allowing(), "net.core.somaxconn", false},
		{allowing(), "kernel.shmmax", false},
		{allowing("net.core.somaxconn"), "net.core.somaxconn", true},
		{allowing("net.core.somaxconn"), "net/core/somaxconn", true},
		{allowing("net.core.somaxconn"), "net.core.somaxconn2", false},
		{allowing("net.core*"), "net.core.somaxconn", true},
		{allowing("net.*"), "net/ipv4/conf/eth0.1/rp_filter", true},
		{allowing("net.*"), "kernel.msgmax", false},
		{allowing("kernel.msg*", "kernel.sem", "fs.mqueue.*"), "kernel.msgmax", true},
		{allowing("kernel.msg*", "kernel.sem", "fs.mqueue.*"), "kernel.sem", true},
		{allowing("kernel.msg*", "kernel.sem", "fs.mqueue.*"), "fs.mqueue.queues_max", true},
		{allowing("*", "kernel.*"), "kernel.core_pattern", false},
		{allowing("*", "vm.overcommit_memory"), "vm.overcommit_memory", false},
	} {
		pod := plainPod()
		withSysctl(c.name)(pod)
		err := Refusal(Validate(pod, c.node))
		if allowed := err == nil; allowed != c.allowed {
			t.Errorf("%s where %v are allowed: %v", c.name, c.node.UnsafeSysctls, err)
		}
	}
	pod := plainPod()
	withSysctl("net.core.somaxconn")(pod)
	const want = "spec.securityContext.sysctls[0].name: SysctlForbidden: net.core.somaxconn is not a safe sysctl; ask the operator of this node to add it to AllowedUnsafeSysctls"
	if err := refuse(pod); sentence(err) != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
