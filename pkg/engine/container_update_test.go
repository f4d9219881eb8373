package engine

import (
	"encoding/json"
	"net/http"
	"testing"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"
)

// TestUpdate: memory comes with as much for memory and swap together, and what is
// not set is not sent as something else.
func TestUpdate(t *testing.T) {
	var asked map[string]any
	c, _ := serve(t, map[string]http.HandlerFunc{
		"POST /containers/here/update": func(w http.ResponseWriter, r *http.Request) {
			asked = nil
			if err := json.NewDecoder(r.Body).Decode(&asked); err != nil {
				t.Error(err)
			}
			says(200, `{"Warnings":[]}`)(w, r)
		},
		"POST /containers/gone/update": says(404, `{"message":"no such container"}`),
		"GET /containers/here/json":    says(200, `{"Id":"here","HostConfig":{"Memory":7,"CpuShares":5,"NanoCpus":3,"PidsLimit":9}}`),
	})
	for name, one := range map[string]struct {
		give Bounds
		want map[string]any
	}{
		"all":         {Bounds{NanoCPUs: 3, CPUShares: 5, MemoryBytes: 7, PidsLimit: 9}, map[string]any{"NanoCpus": 3., "CpuShares": 5., "Memory": 7., "MemorySwap": 7., "PidsLimit": 9.}},
		"weight only": {Bounds{CPUShares: 5}, map[string]any{"NanoCpus": 0., "CpuShares": 5., "Memory": 0., "MemorySwap": 0., "PidsLimit": nil}},
	} {
		if err := c.Update(t.Context(), "here", one.give); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		got := map[string]any{}
		for key := range one.want {
			got[key] = asked[key]
		}
		if diff := cmp.Diff(one.want, got); diff != "" {
			t.Errorf("%s (-want +asked):\n%s", name, diff)
		}
	}
	if err := c.Update(t.Context(), "gone", Bounds{CPUShares: 5}); !errdefs.IsNotFound(err) {
		t.Errorf("Update() of a container that is gone = %v", err)
	}
	seen, err := c.Inspect(t.Context(), "here")
	if want := (Bounds{NanoCPUs: 3, CPUShares: 5, MemoryBytes: 7, PidsLimit: 9}); err != nil || seen.Bounds != want {
		t.Errorf("Inspect() has %+v (%v), want %+v", seen.Bounds, err, want)
	}
}
