//go:build e2e

package e2e_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/access"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/admin"
)

// ownersPage runs docker-sd page until the test ends, and returns the address that it prints.
func (d *daemon) ownersPage(t *testing.T) string {
	t.Helper()
	cmd := d.program(t, "page")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// renewals is how often the page has asked for itself.
func (b *tab) renewals() int {
	b.t.Helper()
	return ask[int](b, `performance.getEntriesByType("resource").filter(e => e.initiatorType === "xmlhttprequest").length`)
}

// renewed waits for more renewals of the page.
func (b *tab) renewed(more int) {
	b.t.Helper()
	before := b.renewals()
	eventually(b.t, runLimit, "the page renews itself", func() bool { return b.renewals() >= before+more }, func() string { return b.text("body") })
}

// at waits until the browser shows another address.
func (b *tab) at(part string) {
	b.t.Helper()
	eventually(b.t, runLimit, "the browser is at "+part, func() bool { return strings.Contains(b.where(), part) },
		func() string { return ask[string](b, `location.href`) })
}

const (
	// hostileLine would run, wipe a terminal and turn text around.
	hostileLine = `<script>window.broken=true</script><img src=x onerror="window.broken=true">` + "\x1b[2J\u202egpj.exe"
	// shownLine is how the page shows it.
	shownLine = `<script>window.broken=true</script><img src=x onerror="window.broken=true">⟨U+001B⟩[2J⟨U+202E⟩gpj.exe`
)

const broken = `window.broken === true || document.querySelector("main img, main script") !== null`

// TestPodPage: a pod is found by a search while it is typed, its page says how it started, and
// its owner reads its log, whatever is in it. What has the focus keeps it while all else changes.
func TestPodPage(t *testing.T) {
	t.Parallel()
	d := ownDaemon(t, 2, map[string]any{"AdminAddress": "127.0.0.1:0"})
	pod := newPod(shell("main", `echo "$LINE"; i=0; while sleep 1; do i=$((i+1)); echo "tick $i"; done`), shell("side", "echo words of the side; "+untilStopped))
	pod.Spec.InitContainers = []v1.Container{shell("prepare", "true")}
	pod.Spec.Containers[0].Env = []v1.EnvVar{{Name: "LINE", Value: hostileLine}}
	d.run(t, pod).waitPhase(v1.PodRunning)
	other := d.run(t, newPod(shell("other", untilStopped)))
	other.waitPhase(v1.PodRunning)

	address := "http://" + d.adminAddress(t) + "/"
	b := openTab(t, address)
	b.goesLive(address)
	b.shows("#pods", pod.Name, other.pod.Name)
	ask[bool](b, `window.before = true, document.querySelector("input[name=q]").value = "container:SIDE", document.querySelector("form").dispatchEvent(new Event("input")), true`)
	b.at("?q=container")
	b.shows("#pods", pod.Name, "1 of 2 match")
	if text := b.text("#pods"); strings.Contains(text, other.pod.Name) || !ask[bool](b, `window.before === true`) {
		t.Errorf("a search shows the pod that it does not find, or loads the page again:\n%s", text)
	}
	ask[bool](b, `document.querySelector("#pods tbody a").click(), true`)
	b.at("/pods/" + string(pod.UID))
	b.shows("#timeline", "admitted", "claim", "volumes", "start container", "started", "0 to ")
	b.shows("#events", "created", "placed", "started")
	b.shows("#containers", "main", "side", "prepare", "exit 0", suite.images.busybox)
	b.shows("#log", "to the owner of docker-sd alone", "docker-sd logs "+pod.Namespace+"/"+pod.Name)
	if text := b.text("body"); strings.Contains(text, "tick") || strings.Contains(text, "window.broken") {
		t.Errorf("without being the owner, one reads\n%s", text)
	}

	owners := openTab(t, d.ownersPage(t)+"pods/"+pod.Namespace+"/"+pod.Name)
	owners.at("/pods/" + string(pod.UID))
	owners.shows("pre", shownLine, "tick")
	owners.shows("#containers", "Settings")
	ask[bool](owners, `window.tab = [...document.querySelectorAll(".tabs a")].find(a => a.innerText === "side"), window.tab.focus(), document.querySelector("#containers details").open = true, true`)
	first := owners.text("pre")
	owners.renewed(3)
	eventually(t, runLimit, "the log grows", func() bool { return len(owners.text("pre")) > len(first) }, func() string { return owners.text("pre") })
	if !ask[bool](owners, `document.activeElement === window.tab && window.tab.isConnected && document.querySelector("#containers details").open`) {
		t.Error("what had the focus, or was opened, has lost that by a renewal")
	}
	ask[bool](owners, `window.tab.click(), true`)
	owners.at("?container=side")
	owners.shows("pre", "words of the side")
	if ask[bool](owners, broken) || ask[bool](b, broken) {
		t.Error("a line of a log became part of the page")
	}
	for _, tab := range []*tab{b, owners} {
		if len(tab.complaints()) > 0 {
			t.Errorf("the browser complains: %q", tab.complaints())
		}
	}

	d.must(t, http.MethodPost, "/delete", encode(t, pod))
	owners.shows("main", "No such pod", "What became of it", "deleted")
}

// TestPodPageControl: the line of TestPodPage does run where nothing escapes it.
func TestPodPageControl(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		fmt.Fprintf(w, "<main><pre>%s</pre></main>", hostileLine)
	}))
	t.Cleanup(server.Close)
	b := openTab(t, server.URL)
	eventually(t, runLimit, "the line runs", func() bool { return ask[bool](b, `window.broken === true`) }, func() string { return b.text("body") })
}

// TestFilterWithoutScripts: the form is sent, which the policy of the page permits, and the
// address that it leads to shows the same to the next reader.
func TestFilterWithoutScripts(t *testing.T) {
	t.Parallel()
	d := ownDaemon(t, 2, map[string]any{"AdminAddress": "127.0.0.1:0"})
	wanted, other := d.run(t, newPod(shell("main", untilStopped))), d.run(t, newPod(shell("main", untilStopped)))
	wanted.waitPhase(v1.PodRunning)
	other.waitPhase(v1.PodRunning)
	b := openTab(t, "http://"+d.adminAddress(t)+"/", withoutScripts())
	b.shows("#pods", wanted.pod.Name, other.pod.Name)
	ask[bool](b, fmt.Sprintf(`document.querySelector("input[name=q]").value = %q, document.querySelector("select[name=phase]").value = "running", document.querySelector("form button").click(), true`, wanted.pod.UID))
	b.at("q=" + string(wanted.pod.UID))
	b.shows("#pods", wanted.pod.Name, "1 of 2 match")
	if text := b.text("#pods"); strings.Contains(text, other.pod.Name) {
		t.Errorf("the form finds\n%s", text)
	}
	ask[bool](b, `document.querySelector("#pods tbody a").click(), true`)
	b.at("/pods/" + string(wanted.pod.UID))
	b.shows("#timeline", "admitted", "started")
}

// hostileRooms has one pod that is as hostile as a hostile node, for its owner.
type hostileRooms struct{ admin.Inside }

func (hostileRooms) Describe(types.UID) (admin.Description, error) {
	state := v1.ContainerState{Terminated: &v1.ContainerStateTerminated{Message: hostileText}}
	return admin.Description{Labels: map[string]string{hostileText: hostileText}, Conditions: []v1.PodCondition{{Type: hostileText, Reason: hostileText}},
		Containers: []admin.DescribedContainer{{Spec: v1.Container{Name: hostileText, Command: []string{hostileText}}, Status: v1.ContainerStatus{State: state}}},
		Timeline:   []admin.Moment{{What: hostileText, Detail: hostileText, Time: time.Now()}}, Events: []admin.Event{{What: hostileText, Detail: hostileText}}}, nil
}

func (hostileRooms) Log(_ context.Context, _ admin.LogQuery, w io.Writer) error {
	_, err := io.WriteString(w, hostileText)
	return err
}

// pagesOf serves the pages of a node to a browser of its owner, and returns their address.
func pagesOf(t *testing.T, config admin.Config) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "page")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	config.Metrics, config.Hosts = http.NotFoundHandler(), access.NewHosts()
	config.Status = func(error) int { return http.StatusInternalServerError }
	operators := admin.New(config)
	socket, err := net.Listen("unix", filepath.Join(dir, admin.SocketName))
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- operators.Serve(socket) }()
	client := admin.NewClient(dir)
	server := httptest.NewServer(client.Pages())
	t.Cleanup(func() {
		server.Close()
		client.Close()
		if err := errors.Join(operators.Shutdown(context.Background()), <-served); err != nil {
			t.Error(err)
		}
	})
	return server.URL
}

// TestPodPageEscapes: whatever reaches the page of a pod is text for its owner's browser, at its
// loading and when it is renewed, and nothing is against the page's own policy.
func TestPodPageEscapes(t *testing.T) {
	t.Parallel()
	address := pagesOf(t, admin.Config{Source: hostile{}, Inside: func() admin.Inside { return hostileRooms{} }})
	for _, path := range []string{"/pods/" + url.PathEscape(hostileText), "/pods/none" + url.PathEscape(hostileText), "/?q=" + url.QueryEscape(hostileText)} {
		b := openTab(t, address+path)
		b.goesLive(address + path)
		ask[bool](b, `window.violations = [], document.addEventListener("securitypolicyviolation", e => window.violations.push(e.violatedDirective)), document.querySelector("main").replaceChildren(), true`)
		b.renewed(2)
		b.shows("main", hostileText)
		if ask[bool](b, broken) {
			t.Errorf("%s: markup became part of the page", path)
		}
		if got := ask[string](b, `window.violations.join()`); got != "" || len(b.complaints()) > 0 {
			t.Errorf("%s: the page does what its policy forbids: %s %q", path, got, b.complaints())
		}
		if strings.HasPrefix(path, "/pods/%") {
			b.shows("pre", hostileText)
		}
	}
}
