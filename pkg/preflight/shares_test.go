package preflight_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/preflight"
)

func TestSharesAndDiskWatch(t *testing.T) {
	bounded := preflight.Shares{Group: "/docker-sd-a", Memory: 1 << 30, Pids: 9000, PidsOfOne: 1024}
	with := func(edit func(*preflight.Shares)) preflight.Line {
		s := bounded
		edit(&s)
		return s.Judge()
	}
	for name, c := range map[string]struct {
		line    preflight.Line
		verdict preflight.Verdict
		found   string
	}{
		"bounded":       {bounded.Judge(), preflight.OK, "1GiB of memory and 9000 process ids (control group /docker-sd-a), one of them 1024"},
		"nothing left":  {with(func(s *preflight.Shares) { s.Err = errors.New("too little") }), preflight.Fail, "too little"},
		"not from here": {with(func(s *preflight.Shares) { s.Unbound = errors.New("read-only file system") }), preflight.Warn, "all together are not: read-only file system"},
		"another tree":  {with(func(s *preflight.Shares) { s.Elsewhere = true }), preflight.Warn, "does not put sandboxes into the control group /docker-sd-a"},
		"watched":       {preflight.DiskWatch(3, "", nil), preflight.OK, "is evicted before a disk is full"},
		"unseen":        {preflight.DiskWatch(3, "", errors.New("on another machine")), preflight.Warn, "on another machine"},
		"low":           {preflight.DiskWatch(3, "nodefs.available is 1Gi, below 2Gi", nil), preflight.Warn, "are evicted now: nodefs.available is 1Gi"},
		"off":           {preflight.DiskWatch(0, "", nil), preflight.Warn, "no pod is evicted"},
	} {
		if c.line.Verdict != c.verdict || !strings.Contains(c.line.Found, c.found) || (c.line.Do == "") != (c.verdict == preflight.OK) {
			t.Errorf("%s: %+v", name, c.line)
		}
	}
}
