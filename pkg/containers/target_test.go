package containers

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
)

// TestHookCommandsAreExpanded: the commands of hooks, and those of probes, which go
// the same way, refer to variables of the container as kubelet has it.
func TestHookCommandsAreExpanded(t *testing.T) {
	var mu sync.Mutex
	var asked []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/_ping") {
			return
		}
		var body struct{ Cmd []string }
		if err := json.NewDecoder(r.Body).Decode(&body); err == nil {
			mu.Lock()
			asked = body.Cmd
			mu.Unlock()
		}
		http.Error(w, `{"message":"not today"}`, http.StatusBadRequest)
	}))
	defer server.Close()
	client, err := engine.Connect("tcp://" + server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	pod := plainPod()
	c := &pod.Spec.Containers[0]
	c.Env = []v1.EnvVar{{Name: "TOOL", Value: "/bin/echo"}, {Name: "WORD", Value: "a $(TOOL)"}}
	hook := &v1.LifecycleHandler{Exec: &v1.ExecAction{Command: []string{"$(TOOL)", "$(WORD)", "$$(WORD)", "$(OTHER)", "$WORD"}}}
	if err := podFor(pod).target(&sandbox.Sandbox{Engine: client}, c, "c").Hook(t.Context(), hook); err == nil {
		t.Error("control: the hook's command did not reach the engine, which refuses it")
	}
	if want := []string{"/bin/echo", "a $(TOOL)", "$(WORD)", "$(OTHER)", "$WORD"}; !slices.Equal(asked, want) {
		t.Errorf("the engine was asked to run %q, want %q", asked, want)
	}
}
