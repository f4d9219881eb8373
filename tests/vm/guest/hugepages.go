package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
)

// mapsHugePages is the command of this program by which a container maps huge pages.
const mapsHugePages = "map-huge-pages"

// mapHugePages maps and writes so many bytes of a file, or of no file, and says how that went.
// A kernel that has no page left at that moment ends it by SIGBUS.
func mapHugePages(path, size string) int {
	bytes, err := strconv.Atoi(size)
	if err != nil {
		return 2
	}
	fd, flags := -1, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_HUGETLB
	if path != "none" {
		if fd, err = unix.Open(path, unix.O_CREAT|unix.O_RDWR|unix.O_CLOEXEC, 0o600); err != nil {
			fmt.Println("open:", err)
			return 1
		}
		flags = unix.MAP_SHARED
		if err := unix.Ftruncate(fd, int64(bytes)); err != nil {
			fmt.Println("extend:", err)
			return 1
		}
	}
	memory, err := unix.Mmap(fd, 0, bytes, unix.PROT_READ|unix.PROT_WRITE, flags)
	if err != nil {
		fmt.Println("map:", err)
		return 1
	}
	for at := 0; at < len(memory); at += 4096 {
		memory[at] = 1
	}
	fmt.Println("mapped", bytes)
	return 0
}

// huge gives a container huge pages of 2 MiB, and a volume of them.
func (p pod) huge(container int, amount string) {
	c := &p.Spec.Containers[container]
	c.Resources.Limits = v1.ResourceList{"hugepages-2Mi": resource.MustParse(amount), v1.ResourceMemory: resource.MustParse("64Mi")}
	c.VolumeMounts = append(c.VolumeMounts, v1.VolumeMount{Name: "huge", MountPath: "/huge"})
}

// withProgram mounts this program at /srv/guest.
func (p pod) withProgram() pod {
	p.Spec.Volumes = append(p.Spec.Volumes, v1.Volume{Name: "srv", VolumeSource: v1.VolumeSource{HostPath: &v1.HostPathVolumeSource{Path: "/srv"}}})
	for i := range p.Spec.Containers {
		p.Spec.Containers[i].VolumeMounts = append(p.Spec.Containers[i].VolumeMounts, v1.VolumeMount{Name: "srv", MountPath: "/srv", ReadOnly: true})
	}
	return p
}

// tries maps so many bytes and says "failed" where that does not succeed.
func tries(path string, bytes int) string {
	return fmt.Sprintf("/srv/guest %s %s %d >/tmp/out 2>&1 && cat /tmp/out || echo failed; ", mapsHugePages, path, bytes)
}

// hugePages: a container maps those of its limit, by itself and in a volume, and no more; a
// control with a higher limit does. A pod that asks for none gets none.
func hugePages(ctx context.Context, h *host) error {
	// 16 MiB, of which the node tells when docker-sd begins.
	if _, err := sh(ctx, "cp /share/guest /srv/guest && sysctl -qw vm.nr_hugepages=8"); err != nil {
		return err
	}
	if err := configure(ctx, ""); err != nil {
		return err
	}
	problems := []error{}
	if told, err := call(ctx, "/status", []any{}); err != nil || !strings.Contains(told, `{"resourceType":"hugepages-2Mi","available":"16777216"}`) {
		problems = append(problems, fmt.Errorf("the node tells %s: %w", told, err))
	}
	const mib = 1 << 20
	p := h.newPod(v1.RestartPolicyNever, tries("/huge/a", 4*mib)+"rm /huge/a; "+tries("none", 4*mib)+tries("none", 6*mib)+"grep -o 'hugetlbfs rw.*' /proc/mounts; stat -c %a /huge; echo end",
		tries("none", 6*mib)+tries("/huge/b", 8*mib)+"rm -f /huge/b; "+tries("none", 10*mib)+"echo end")
	p.Spec.Volumes = []v1.Volume{{Name: "huge", VolumeSource: v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{Medium: "HugePages-2Mi"}}}}
	p.huge(0, "4Mi")
	p.huge(1, "8Mi")
	if err := p.withProgram().create(ctx); err != nil {
		return err
	}
	problems = append(problems, p.logged(ctx, "mapped 4194304\nmapped 4194304\nfailed\nhugetlbfs rw,nosuid,nodev,relatime,mode=777,pagesize=2M,size=12582912 0 0\n777\nend\n"),
		p.only(1).logged(ctx, "mapped 6291456\nmapped 8388608\nfailed\nend\n"), p.delete(ctx))
	none := h.newPod(v1.RestartPolicyNever, tries("none", 2*mib)+"echo end").withProgram()
	problems = append(problems, none.create(ctx), none.logged(ctx, "failed\nend\n"), none.delete(ctx), hugePagesRefused(ctx, h),
		await(ctx, "the return of all pages", func() error { return says(ctx, "awk '/HugePages_Free/{print $2}' /proc/meminfo", "8") }))
	_, err := sh(ctx, "sysctl -qw vm.nr_hugepages=0; rm -f /srv/guest")
	return errors.Join(append(problems, err, configure(ctx, ""))...)
}

// hugePagesRefused: pages that the node does not have.
func hugePagesRefused(ctx context.Context, h *host) error {
	var problems []error
	for name, words := range map[v1.ResourceName]string{"hugepages-1Gi": "this node has no huge pages of this size", "hugepages-2Mi": "is more than the 16Mi that this node has"} {
		p := h.newPod(v1.RestartPolicyNever, "echo ran")
		p.Spec.Containers[0].Resources.Limits = v1.ResourceList{name: resource.MustParse("2Gi"), v1.ResourceMemory: resource.MustParse("64Mi")}
		if err := p.create(ctx); err == nil || !strings.Contains(err.Error(), words) {
			problems = append(problems, fmt.Errorf("%s: %w, want %s", name, err, words))
		}
	}
	return errors.Join(problems...)
}
