package api_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes"
)

// TestHeard: each address knows its own callers, by what they send and not by what they only
// asked for.
func TestHeard(t *testing.T) {
	s := readyServer(fakePods{
		create: func(context.Context, *v1.Pod, volumes.Data) (string, error) { return "jid", nil },
		status: func(*v1.Pod) (podstatus.Report, bool) { return podstatus.Report{}, true },
	})
	call(s, http.MethodGet, "/status", strings.NewReader("{nonsense"))
	if plugin, kubelets := s.Heard(); !plugin.Ping.IsZero() || !plugin.Poll.IsZero() || !kubelets.Ping.IsZero() {
		t.Errorf("before all calls %+v and %+v are heard", plugin, kubelets)
	}
	call(s, http.MethodGet, "/status", strings.NewReader("[]"), "User-Agent", strings.Repeat("a", 1000))
	plugin, kubelets := s.Heard()
	if plugin.Ping.IsZero() || !plugin.Poll.IsZero() || plugin.UserAgent != strings.Repeat("a", 64) || kubelets.UserAgent != "" {
		t.Errorf("after a ping %+v and %+v are heard", plugin, kubelets)
	}
	readRecorded(t, "wire/status-running-pod").replay(s.Handler())
	readRecorded(t, "wire/create-hello-world").replay(s.Handler())
	if plugin, _ := s.Heard(); plugin.Poll.IsZero() || plugin.Create.IsZero() || plugin.Lists {
		t.Errorf("after a poll and a create %+v is heard", plugin)
	}
	old := readRecorded(t, "wire/create-hello-world")
	old.Body = []byte("[" + string(old.Body) + "]")
	old.replay(s.Handler())
	if plugin, _ := s.Heard(); !plugin.Lists {
		t.Errorf("after a list %+v is heard", plugin)
	}
	for _, name := range []string{"pinglink", "status-running-pod", "create-hello-world"} {
		readRecorded(t, "virtualkubelet/"+name).replay(s.InterlinkHandler())
	}
	if _, kubelets := s.Heard(); kubelets.Ping.IsZero() || kubelets.Poll.IsZero() || kubelets.Create.IsZero() {
		t.Errorf("after calls of a Virtual Kubelet %+v is heard", kubelets)
	}
}
