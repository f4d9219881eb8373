package admin_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/admin"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
)

func TestPageShowsAll(t *testing.T) {
	address := start(t, fixed{troubles: []string{"no engine"}}, "tcp", "127.0.0.1:0")
	response, body := ask(t, http.MethodGet, address, "", "/")
	if kind := response.Header.Get("Content-Type"); kind != "text/html; charset=utf-8" {
		t.Errorf("the page is %s", kind)
	}
	for _, text := range []string{"no engine", "physics/</span>fit", "exit 3", "s1", "s2", "GPU-1", "H100", "physics/fit", "nvidia.com/gpu free", ">started<", "1 of 110"} {
		if !strings.Contains(body, text) {
			t.Errorf("the page lacks %q", text)
		}
	}
	for path, kind := range map[string]string{"/page.css": "text/css; charset=utf-8", "/page.js": "text/javascript; charset=utf-8"} {
		if response, _ := ask(t, http.MethodGet, address, "", path); response.Header.Get("Content-Type") != kind {
			t.Errorf("%s is %s, want %s", path, response.Header.Get("Content-Type"), kind)
		}
	}
}

// hostile is a Source whose every text tries to be markup.
type hostile struct{ fixed }

const markup = `"'><script>alert(1)</script><img src=x onerror=alert(1)>{{.}}`

func (hostile) Info() admin.Info {
	return admin.Info{Version: markup, Instance: markup, Address: markup, Engine: markup, Troubles: []string{markup}}
}

func (hostile) Pods() admin.Pods {
	return admin.Pods{Pods: []podstatus.View{{UID: markup, Namespace: markup, Name: markup, Phase: markup, IP: markup,
		Network:    &podstatus.NetworkView{Mode: markup, Server: markup, Address: markup, Error: markup},
		Containers: []podstatus.ContainerView{{Name: markup, Image: markup, State: markup, Reason: markup, Message: markup}}}}}
}

func (hostile) Pool() admin.Pool {
	return admin.Pool{Error: markup, Sandboxes: []admin.Sandbox{{Name: markup, IP: markup, State: markup, Namespace: markup, PodName: markup}}}
}

func (hostile) GPUs() gpu.Snapshot {
	return gpu.Snapshot{Devices: []gpu.DeviceState{{Device: gpu.Device{UUID: markup, Name: markup, PCIBusID: markup}, State: markup,
		Offered: markup, Holders: []string{markup}, Reasons: []string{markup}}}, Totals: map[string]int64{markup: 1}}
}

func (hostile) Events() admin.Events {
	return admin.Events{Events: []admin.Event{{Time: time.Now(), What: markup, Namespace: markup, PodName: markup, Container: markup, Detail: markup},
		{Time: time.Now(), What: markup, Sandbox: markup}}}
}

func TestPageEscapes(t *testing.T) {
	_, body := ask(t, http.MethodGet, start(t, hostile{}, "tcp", "127.0.0.1:0"), "", "/")
	if n := strings.Count(body, "alert(1)"); n < 30 {
		t.Errorf("the page has %d of its texts, want them all", n/2)
	}
	for _, bad := range []string{"<script>alert", "<img", `"'>`, "{{.}}{{"} {
		if strings.Contains(body, bad) {
			t.Errorf("the page has %s unescaped", bad)
		}
	}
}
