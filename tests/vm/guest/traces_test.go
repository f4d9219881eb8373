package main

import (
	"strings"
	"testing"
)

// TestCompare: a trace that is left is named, and the names of other objects of the same kind
// count for nothing.
func TestCompare(t *testing.T) {
	before := map[string][]string{
		"mounts":   {"/ /proc", "/ /var/lib/docker/overlay2/797a1b01119b/merged"},
		"networks": {"bridge", "docker-sd-1234567"},
	}
	renamed := map[string][]string{
		"mounts":   {"/ /proc", "/ /var/lib/docker/overlay2/aaaabbbbcccc/merged"},
		"networks": {"docker-sd-7654321", "bridge"},
	}
	if err := compare(before, renamed); err != nil {
		t.Error(err)
	}
	left := map[string][]string{
		"mounts":   append([]string{"/ /run/rpc_pipefs"}, renamed["mounts"]...),
		"networks": {"bridge"},
	}
	err := compare(before, left)
	if err == nil {
		t.Fatal("a mount that is left is not seen")
	}
	for _, want := range []string{`mounts: 3, and 2 before the first pod; more: ["/ /run/rpc_pipefs"], fewer: []`, `networks: 1, and 2 before the first pod; more: [], fewer: ["docker-sd-1234567"]`} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in %v", want, err)
		}
	}
}
