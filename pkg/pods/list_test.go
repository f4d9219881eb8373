package pods

import (
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

func TestList(t *testing.T) {
	m := New(Config{}, nil, nil, nil)
	if list := m.List(); list == nil || len(list) != 0 {
		t.Errorf("List() of no pods = %v, want an empty list", list)
	}
	for _, name := range []string{"c", "a", "b"} {
		spec := &v1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "n", Name: name, UID: types.UID("uid-" + name)},
			Spec: v1.PodSpec{Containers: []v1.Container{{Name: "main", Image: "busybox"}}}}
		m.pods[spec.UID] = m.newPod(spec)
	}
	var names string
	for _, v := range m.List() {
		names += v.Name
		if v.Phase != podstatus.PhasePending || len(v.Containers) != 1 || v.Containers[0].Reason != podstatus.ReasonCreating ||
			time.Since(v.Created) > time.Minute || v.Sandbox != "" {
			t.Errorf("List() has %+v", v)
		}
	}
	if names != "abc" {
		t.Errorf("List() is in the order %s, want abc", names)
	}
}
