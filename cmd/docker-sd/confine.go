package main

import (
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
)

// podProfiles says whether sandboxes are made such that their containers can have AppArmor
// profiles of their own: the operator allows some, and their namespace exists. An engine
// makes no container in one that does not.
func podProfiles(s config.Config, info engine.Info) bool {
	if len(s.AppArmorProfiles) == 0 || s.SandboxPrivileged || !info.AppArmor {
		return false
	}
	profiles, _ := sandbox.AppArmorProfiles(os.DirFS("/"))
	return len(sandbox.PodProfiles(profiles)) > 0
}

// hugePages of a host that pods can have, in bytes by resource, from the files below root.
// trouble is why it has none that could be used, "" where it has none at all.
func hugePages(root fs.FS, cgroupVersion string) (pages map[v1.ResourceName]int64, trouble string) {
	out := map[v1.ResourceName]int64{}
	files, _ := fs.Glob(root, "sys/kernel/mm/hugepages/hugepages-*kB/nr_hugepages") // the pattern is right
	for _, file := range files {
		kilobytes, err := strconv.ParseInt(strings.TrimSuffix(strings.TrimPrefix(path.Base(path.Dir(file)), "hugepages-"), "kB"), 10, 64)
		text, unread := fs.ReadFile(root, file)
		number, bad := strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
		if err == nil && unread == nil && bad == nil && number > 0 {
			out[podspec.HugePagesName(kilobytes<<10)] = number * kilobytes << 10
		}
	}
	if len(out) == 0 {
		return nil, ""
	}
	if !countsHugePages(root, cgroupVersion) {
		return nil, "the huge pages of this node cannot be bounded, as its control groups have no controller hugetlb"
	}
	return out, ""
}

// countsHugePages says whether containers have control groups for huge pages.
func countsHugePages(root fs.FS, cgroupVersion string) bool {
	if cgroupVersion == "1" {
		info, err := fs.Stat(root, "sys/fs/cgroup/hugetlb")
		return err == nil && info.IsDir()
	}
	controllers, err := fs.ReadFile(root, "sys/fs/cgroup/cgroup.controllers")
	return err == nil && slices.Contains(strings.Fields(string(controllers)), "hugetlb")
}
