package main

import (
	"maps"
	"strings"
	"testing"
	"testing/fstest"

	v1 "k8s.io/api/core/v1"
)

// TestHugePages: pages that the host has, and the reason where they could not be bounded.
func TestHugePages(t *testing.T) {
	file := func(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }
	const small, large = "sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages"
	const controllers = "sys/fs/cgroup/cgroup.controllers"
	for name, c := range map[string]struct {
		root    fstest.MapFS
		version string
		want    map[v1.ResourceName]int64
		trouble string
	}{
		"both sizes":    {fstest.MapFS{small: file("3\n"), large: file("1\n"), controllers: file("cpu hugetlb pids\n")}, "2", map[v1.ResourceName]int64{"hugepages-2Mi": 6 << 20, "hugepages-1Gi": 1 << 30}, ""},
		"one":           {fstest.MapFS{small: file("3\n"), large: file("0\n"), controllers: file("hugetlb\n")}, "2", map[v1.ResourceName]int64{"hugepages-2Mi": 6 << 20}, ""},
		"version 1":     {fstest.MapFS{small: file("3\n"), "sys/fs/cgroup/hugetlb/tasks": file("")}, "1", map[v1.ResourceName]int64{"hugepages-2Mi": 6 << 20}, ""},
		"not set aside": {fstest.MapFS{small: file("0\n")}, "2", nil, ""},
		"no kernel":     {fstest.MapFS{}, "2", nil, ""},
		"not counted":   {fstest.MapFS{small: file("3\n"), controllers: file("cpu memory\n")}, "2", nil, "no controller hugetlb"},
		"not mounted":   {fstest.MapFS{small: file("3\n"), "sys/fs/cgroup/memory/tasks": file("")}, "1", nil, "no controller hugetlb"},
	} {
		got, trouble := hugePages(c.root, c.version)
		if !maps.Equal(got, c.want) || !strings.Contains(trouble, c.trouble) || (trouble == "") != (c.trouble == "") {
			t.Errorf("%s: %v %q, want %v %q", name, got, trouble, c.want, c.trouble)
		}
	}
}
