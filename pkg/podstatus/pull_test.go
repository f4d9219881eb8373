package podstatus

import (
	"testing"

	v1 "k8s.io/api/core/v1"
)

// TestViews_Pull: a pull is shown while a container waits for it, and no longer.
func TestViews_Pull(t *testing.T) {
	spec := &v1.Pod{Spec: v1.PodSpec{InitContainers: []v1.Container{{Name: "init"}}, Containers: []v1.Container{{Name: "main"}}}}
	s := New(spec)
	at := func() *Pull { return s.Views(spec)[1].Pull }
	if views := s.Views(spec); len(views) != 2 || !views[0].Init || views[1].Init || at() != nil {
		t.Fatalf("views at first: %+v", views)
	}
	seen, _ := s.Instance("main")
	s.SetPull("main", &Pull{Done: 1, Total: 2, Percent: 50})
	if p := at(); p == nil || p.Percent != 50 {
		t.Errorf("pull %+v", p)
	}
	select {
	case <-seen.Changed:
		t.Error("the progress of a pull wakes those who wait for the container")
	default:
	}
	for _, state := range []v1.ContainerState{running(), Waiting("ErrImagePull", "no such image"), exited(1)} {
		s.Update("main", func(c *v1.ContainerStatus) { c.State = state })
		if at() != nil {
			t.Errorf("a pull is shown in the state %+v", state)
		}
	}
	s.Update("main", func(c *v1.ContainerStatus) { c.State = Waiting(ReasonCreating, "") })
	s.SetPull("main", nil)
	if at() != nil {
		t.Error("a pull is shown that is over")
	}
}
