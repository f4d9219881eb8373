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

// TestContainerdConfig is of the part of TOML that it uses: tables, and strings and
// lists of strings in double quotes, which Go and TOML write alike where they hold
// neither control characters nor backslashes.
func TestContainerdConfig(t *testing.T) {
	got, table := map[string][]string{}, ""
	for line := range strings.Lines(containerdConfig(containerdRun, containerdState)) {
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
		"disabled_plugins": unusedPlugins, "grpc.address": {"/run/docker-sd/containerd/containerd.sock"}, "debug.level": {"warn"},
	}, got); diff != "" {
		t.Errorf("the configuration (-want +got):\n%s", diff)
	}
}
