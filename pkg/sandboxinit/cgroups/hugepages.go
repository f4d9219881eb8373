package cgroups

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// hugeController is the controller of huge pages.
const hugeController = "hugetlb"

// engineGroup is the control group of containers that the engine makes itself.
const engineGroup = "/docker"

// NoHugePages takes all huge pages from the pod's containers, as kubelet does from one that
// asks for none. Without control groups that count them it does nothing.
func NoHugePages() error {
	groups, err := hugeGroups()
	var problems []error
	for _, group := range groups {
		files, err := filepath.Glob(filepath.Join(group, "hugetlb.*.*"))
		problems = append(problems, err)
		for _, file := range files {
			if strings.HasSuffix(file, ".max") || strings.HasSuffix(file, ".limit_in_bytes") {
				problems = append(problems, write(file, "0"))
			}
		}
	}
	return errors.Join(append(problems, err)...)
}

// BoundHugePages bounds those of all containers of the pod together, by size of page.
func BoundHugePages(pages []initapi.HugePages) error {
	groups, err := hugeGroups()
	if err != nil {
		return err
	}
	if len(groups) == 0 {
		return errors.New("bound the huge pages of the pod: this sandbox has no control group for " + hugeController)
	}
	for _, group := range groups {
		for _, p := range pages {
			if err := boundHugePages(group, p); err != nil {
				return fmt.Errorf("bound the huge pages of the pod: %w", err)
			}
		}
	}
	return nil
}

// boundHugePages writes the bounds of one size: on what is used, and on what is reserved,
// which some kernels do not know.
func boundHugePages(group string, p initapi.HugePages) error {
	value, prefix := strconv.FormatInt(p.Bytes, 10), filepath.Join(group, hugeController+"."+p.Size())
	for _, version := range []string{".max", ".limit_in_bytes"} {
		if _, err := os.Lstat(prefix + version); errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err := write(prefix+".rsvd"+version, value); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		return write(prefix+version, value)
	}
	return fmt.Errorf("the kernel has no huge pages of %s", p.Size())
}

// hugeGroups are those that containers are made in, in the hierarchy that counts huge pages;
// none without one. The kernel lets nobody write the bounds of the root of a namespace.
func hugeGroups() ([]string, error) {
	found, err := hierarchies()
	if err != nil {
		return nil, err
	}
	for _, m := range found {
		if !slices.Contains(controllersOf(m), hugeController) {
			continue
		}
		var out []string
		for _, name := range []string{engineGroup, initapi.GroupPath} {
			group := filepath.Join(m.Mountpoint, name)
			if err := os.Mkdir(group, 0o755); err != nil && !errors.Is(err, os.ErrExist) {
				return nil, err
			}
			out = append(out, group)
		}
		return out, nil
	}
	return nil, nil
}
