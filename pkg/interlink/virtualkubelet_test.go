package interlink_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/interlink"
)

// sentByKubelet returns the body of a request as a Virtual Kubelet sends it.
func sentByKubelet(tb testing.TB, name string) []byte {
	tb.Helper()
	file, err := os.ReadFile("testdata/virtualkubelet/" + name + ".json")
	if err != nil {
		tb.Fatal(err)
	}
	var recorded struct{ Body json.RawMessage }
	if err := json.Unmarshal(file, &recorded); err != nil {
		tb.Fatal(err)
	}
	return recorded.Body
}

// TestDecodePodCreate: the pod and the data of its volumes are those that interLink's API
// server would have sent.
func TestDecodePodCreate(t *testing.T) {
	for _, name := range []string{"create-hello-world", "create-full-pod", "create-restart-always", "create-with-pvc"} {
		t.Run(name, func(t *testing.T) {
			got, err := interlink.DecodePodCreate(sentByKubelet(t, name))
			if err != nil {
				t.Fatal(err)
			}
			want, err := interlink.DecodeCreate(body(t, name))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want.Pod, got.Pod); diff != "" {
				t.Errorf("pod (-API server +Virtual Kubelet):\n%s", diff)
			}
			if diff := cmp.Diff(byName(want), byName(got)); diff != "" {
				t.Errorf("data of volumes (-API server +Virtual Kubelet):\n%s", diff)
			}
		})
	}
}

// byName are the data of all containers of a request.
func byName(r interlink.CreateRequest) map[string]any {
	out := map[string]any{}
	for _, c := range r.Containers {
		for _, m := range c.ConfigMaps {
			out["ConfigMap "+m.Name] = m
		}
		for _, m := range c.Projected {
			out["projected "+m.Name] = m
		}
		for _, s := range c.Secrets {
			out["Secret "+s.Name] = s
		}
	}
	return out
}

func TestDecodePodCreate_Claims(t *testing.T) {
	got, err := interlink.DecodePodCreate([]byte(`{"pod":{"metadata":{"uid":"u"}},"persistentvolumes":[{"metadata":{"name":"claim"}}],
		"persistentVolumeSources":[{"metadata":{"name":"volume"}}],"jobscriptURL":"http://builder"}`))
	if err != nil {
		t.Fatal(err)
	}
	c := got.Containers[0]
	if len(c.Claims) != 1 || c.Claims[0].Name != "claim" || len(c.Volumes) != 1 || c.Volumes[0].Name != "volume" {
		t.Errorf("claims %v, volumes %v", c.Claims, c.Volumes)
	}
}

// TestDecodePodCreate_Refuses: what is for a plugin is told so, with the form that is
// expected; a pod whose data would be lost is not taken.
func TestDecodePodCreate_Refuses(t *testing.T) {
	const expected = "Expected is one object with pod, configmaps, secrets and projectedvolumesmaps"
	for name, c := range map[string]struct{ body, want string }{
		"list of 2024":         {string(body(t, "create-hello-world-2024-list")), expected},
		"empty list":           {" []", expected},
		"body for a plugin":    {string(body(t, "create-full-pod")), expected},
		"no data for a plugin": {`{"pod":{},"container":null}`, expected},
		"empty":                {"", "the body is empty"},
		"cut":                  {`{"pod":{"metadata":`, "not the JSON"},
		"two values":           {`{}{}`, "goes on after the first value"},
		"name twice":           {`{"pod":{},"pod":{}}`, "given twice"},
		"wrong kind":           {`{"configmaps":{}}`, "not the JSON"},
		"long quantity":        {`{"pod":{"spec":{"containers":[{"resources":{"limits":{"cpu":"1e999999999"}}}]}}}`, "quantity"},
		"not UTF-8":            {"{\"pod\":{\"metadata\":{\"name\":\"\xff\"}}}", "no UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := interlink.DecodePodCreate([]byte(c.body)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

// FuzzDecodePodCreate: what is taken is UTF-8, and a body for a plugin never is.
func FuzzDecodePodCreate(f *testing.F) {
	seeds(f)
	for _, name := range []string{"create-hello-world", "create-full-pod"} {
		f.Add(sentByKubelet(f, name))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		request, err := interlink.DecodePodCreate(body)
		if err != nil {
			sentence(t, err)
			return
		}
		if !utf8.Valid(body) || len(request.Containers) != 1 {
			t.Fatalf("taken with %d containers", len(request.Containers))
		}
		var members map[string]json.RawMessage
		if err := json.Unmarshal(body, &members); err != nil {
			t.Fatalf("taken, and no object: %v", err)
		}
		for member := range members {
			if strings.EqualFold(member, "container") {
				t.Fatal("a body for a plugin was taken")
			}
		}
	})
}
