package cli

import (
	"strings"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/admin"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
)

// pulling are the pods of which one waits for an image.
func pulling(p podstatus.Pull) admin.Pods {
	list := shownPods()
	c := &list.Pods[2].Containers[0]
	c.Pull, c.Message = &p, "pulling image app"
	return list
}

func TestPullInTable(t *testing.T) {
	for want, p := range map[string]podstatus.Pull{
		"pending (main: pulling [--------------------])":                            {},
		"pending (main: pulling [########------------] 43% 1.2GB of 2.8GB)":         {Done: 12e8, Total: 28e8, Percent: 43},
		"pending (main: pulling [########------------] 43% 1.2GB of 2.8GB or more)": {Done: 12e8, Total: 28e8, Percent: 43, AtLeast: true},
		"pending (main: pulling [####################] unpacking 2.8GB)":            {Done: 28e8, Total: 28e8, Percent: 100, Unpacking: true},
		"pending (main: pulling [####################] 120% 3GB of 2.5GB)":          {Done: 30e8, Total: 25e8, Percent: 120},
	} {
		lines := written(t, podsTable(pulling(p), noon))
		if got := lines[len(lines)-1]; !strings.Contains(got, " "+want+" ") {
			t.Errorf("%+v: %q, want %q", p, got, want)
		}
	}
}

// TestPullIsNoChange: where changes are appended, a pull is two lines and not one for every
// look.
func TestPullIsNoChange(t *testing.T) {
	began, went := podsTable(pulling(podstatus.Pull{Done: 1, Total: 9, Percent: 11}), noon), podsTable(pulling(podstatus.Pull{Done: 8, Total: 9, Percent: 88}), noon)
	if rows := went.changes(began, 3).rows; len(rows) != 0 {
		t.Errorf("progress is a change: %v", rows)
	}
	for _, other := range []table{podsTable(shownPods(), noon), podsTable(pulling(podstatus.Pull{Done: 9, Total: 9, Percent: 100, Unpacking: true}), noon)} {
		if rows := other.changes(began, 3).rows; len(rows) != 1 {
			t.Errorf("%v are no change", rows)
		}
	}
}
