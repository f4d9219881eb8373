package sandboxinit

import (
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestSysctlPath(t *testing.T) {
	for name, want := range map[string]string{
		"kernel.shm_rmid_forced":         "kernel/shm_rmid_forced",
		"net.ipv4.ip_default_ttl":        "net/ipv4/ip_default_ttl",
		"net/ipv4/ip_default_ttl":        "net/ipv4/ip_default_ttl",
		"net.ipv4.conf.eth0/1.rp_filter": "net/ipv4/conf/eth0.1/rp_filter",
		"net/ipv4/conf/eth0.1/rp_filter": "net/ipv4/conf/eth0.1/rp_filter",
		"one":                            "one",
		"":                               "",
	} {
		if got := sysctlPath(name); got != want {
			t.Errorf("sysctlPath(%q) = %q, want %q", name, got, want)
		}
	}
}

func TestParseStat(t *testing.T) {
	for stat, want := range map[string]processStat{
		"12 (sh) S 1 12 11 0 -1 4194560":       {parent: 1, session: 11, state: "S"},
		"12 (a) R 1 2) Z 7 8 9 0":              {parent: 7, session: 9, state: "Z"},
		"12 (name with ) S 1 1 1) D 7 8 9 0 1": {parent: 7, session: 9, state: "D"},
		"12 (sh) S 1":                          {},
		"":                                     {},
	} {
		if got := parseStat(stat); got != want {
			t.Errorf("parseStat(%q) = %+v, want %+v", stat, got, want)
		}
	}
}

func TestParseMounts(t *testing.T) {
	table := strings.Join([]string{
		`22 1 0:20 / / rw,relatime - overlay overlay rw,lowerdir=/a`,
		`23 22 0:21 / /a\040b\134040 rw shared:1 master:2 - tmpfs tmpfs rw,size=1k`,
		`24 22 0:22 /x /c\011\012 rw - ext4 /dev/a - ro`,
		`25 22 0:23 / /no/source rw shared:3 - tmpfs  rw,size=2k`,
		`26 22 0:24 / /cg ro - cgroup cgroup rw,cpu,cpuacct`,
		`27 22 0:25 / /short rw - tmpfs`,
		`28 22 0:26 /`,
		``,
	}, "\n")
	want := []mountPoint{
		{"/", "overlay", "rw,lowerdir=/a"},
		{`/a b\040`, "tmpfs", "rw,size=1k"},
		{"/c\t\n", "ext4", "-"},
		{"/no/source", "tmpfs", "rw,size=2k"},
		{"/cg", "cgroup", "rw,cpu,cpuacct"},
	}
	if diff := cmp.Diff(want, parseMounts(table), cmp.AllowUnexported(mountPoint{})); diff != "" {
		t.Errorf("parseMounts() (-want +got):\n%s", diff)
	}
	points, err := mountPoints()
	if err != nil || len(points) == 0 || points[0].path == "" {
		t.Errorf("mountPoints() = %v, %v", points, err)
	}
}

func TestGroupOptions(t *testing.T) {
	for super, want := range map[string]string{
		"rw,cpu,cpuacct": "cpu,cpuacct",
		"ro,memory":      "memory",
		"rw,xattr,name=systemd,release_agent=/lib/systemd/x": "xattr,none,name=systemd",
		"rw,name=systemd":        "none,name=systemd",
		"rw,pids,clone_children": "pids,clone_children",
	} {
		if got := groupOptions(mountPoint{kind: "cgroup", super: super}); got != want {
			t.Errorf("groupOptions(%q) = %q, want %q", super, got, want)
		}
	}
	if got := groupOptions(mountPoint{kind: "cgroup2", super: "rw,nsdelegate,memory_recursiveprot"}); got != "" {
		t.Errorf("options of version 2 are %q", got)
	}
}

// TestContainerdConfig is of the part of TOML that it uses: tables, and strings and
// lists of strings in double quotes, which Go and TOML write alike where they hold
// neither control characters nor backslashes.
func TestContainerdConfig(t *testing.T) {
	got, table := map[string][]string{}, ""
	for line := range strings.Lines(containerdConfig()) {
		line = strings.TrimSuffix(line, "\n")
		if name, found := strings.CutPrefix(line, "["); found {
			table = strings.TrimSuffix(name, "]") + "."
			continue
		}
		key, value, found := strings.Cut(line, " = ")
		if _, twice := got[table+key]; !found || twice || strings.ContainsAny(line, `\`+"\t\x00") {
			t.Fatalf("line %q", line)
		}
		list, isList := strings.CutPrefix(value, "[")
		if isList {
			list = strings.TrimSuffix(list, "]")
		}
		for item := range strings.SplitSeq(list, ", ") {
			if text, err := strconv.Unquote(item); err == nil {
				item = text
			} else if _, err := strconv.Atoi(item); err != nil {
				t.Errorf("the value %s of %s is neither a string nor a number", item, key)
			}
			got[table+key] = append(got[table+key], item)
		}
	}
	if diff := cmp.Diff(map[string][]string{
		"version": {"2"}, "root": {"/var/lib/docker/containerd/daemon"}, "state": {"/run/docker/containerd/daemon"},
		"disabled_plugins": unusedPlugins, "grpc.address": {containerdSocket}, "debug.level": {"warn"},
	}, got); diff != "" {
		t.Errorf("the configuration (-want +got):\n%s", diff)
	}
}
