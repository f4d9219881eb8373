//go:build e2e

package e2e_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/intertwin-eu/interlink-docker-plugin/tests/browser"
	"github.com/intertwin-eu/interlink-docker-plugin/tests/kit"
)

// openTCP makes a daemon that listens on a port of the loopback interface, as an
// installation without further settings does.
func openTCP(t *testing.T, settings map[string]any) (d *daemon, address string) {
	t.Helper()
	all := map[string]any{"Socket": "", "SidecarPort": 0}
	for key, value := range settings {
		all[key] = value
	}
	d = prepareDaemon(t, all)
	if err := d.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, runLimit, "the log names the address", func() bool { return listening.MatchString(d.log.String()) }, d.log.String)
	address = listening.FindStringSubmatch(d.log.String())[1]
	d.client = &client{&kit.Caller{Base: "http://" + address, HTTP: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}}}}
	eventually(t, runLimit, "docker-sd is ready", func() bool {
		code, _, err := d.call(t.Context(), http.MethodGet, "/readyz", nil)
		return err == nil && code == http.StatusOK
	}, d.log.String)
	return d, address
}

// unprotected stands for a server that looks at none of the headers.
type unprotected struct {
	mu    sync.Mutex
	posts []string
}

func (u *unprotected) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	u.mu.Lock()
	defer u.mu.Unlock()
	if r.Method == http.MethodPost {
		u.posts = append(u.posts, string(body))
	}
	fmt.Fprintln(w, "read by the page")
}

func (u *unprotected) got(text string) bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return strings.Contains(strings.Join(u.posts, "\n"), text)
}

// fetched is what a fetch in the page ended with: the status and the text as far
// as the page may see them, or its error.
func (b *tab) fetched(url, body string) string {
	b.t.Helper()
	options := `{method: "GET"}`
	if body != "" {
		text, err := json.Marshal(body)
		if err != nil {
			b.t.Fatal(err)
		}
		options = `{method: "POST", mode: "no-cors", headers: {"Content-Type": "text/plain"}, body: ` + string(text) + `}`
	}
	ask[bool](b, fmt.Sprintf(`window.ended = "", fetch(%q, %s).then(r => r.text().then(t => window.ended = r.type + " " + r.status + " " + t)).catch(e => window.ended = "failed: " + e), true`, url, options))
	var ended string
	eventually(b.t, runLimit, "the fetch ends", func() bool { ended = ask[string](b, "window.ended"); return ended != "" }, func() string { return url })
	return ended
}

// TestWebPagesReachNoPod: pages in a real browser, one of another site and one
// whose name was pointed at docker-sd meanwhile, create, read and delete nothing.
// A server without the protection is reached by both.
func TestWebPagesReachNoPod(t *testing.T) {
	t.Parallel()
	d, address := openTCP(t, map[string]any{"AVAILABLEDINDS": 1, "AdminAddress": "127.0.0.1:0"})
	admin := d.adminAddress(t)
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	bare := &unprotected{}
	other := httptest.NewServer(bare)
	t.Cleanup(other.Close)
	otherPort := other.Listener.Addr().(*net.TCPAddr).Port
	victim := d.run(t, newPod(shell("c", "echo MARK-of-the-victim; "+untilStopped)))
	victim.waitFor("the container runs", func(s podStatus) bool { return s.Container("c").State.Running != nil })
	_, request := markedPod("true")
	create, wanted := string(encode(t, request)), request.Pod.UID
	remove, logs := string(encode(t, victim.pod)), string(logBody(t, victim.pod, "c", logOptions{}))

	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	t.Cleanup(cancel)
	page, stop, err := browser.Open(ctx, 800, 600, chromedp.Flag("host-resolver-rules", "MAP evil.example 127.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	b := &tab{t: t, ctx: page}
	visit := func(url string) {
		t.Helper()
		// The networks of other tests come and go, which breaks off what a browser loads.
		eventually(t, runLimit, "the page "+url, func() bool {
			err := chromedp.Do(page, chromedp.Navigate(url))
			if err != nil && !strings.Contains(err.Error(), "ERR_NETWORK_CHANGED") {
				t.Fatal(err)
			}
			return err == nil
		}, nil)
	}
	// Of another site.
	visit(fmt.Sprintf("http://evil.example:%d/", otherPort))
	if got := b.fetched("http://"+other.Listener.Addr().String()+"/create", create); !bare.got(string(wanted)) {
		t.Errorf("control: a page of another site cannot post to a server without protection: %s", got)
	}
	for _, host := range []string{"127.0.0.1", "localhost", "evil.example"} {
		for path, body := range map[string]string{"/create": create, "/delete": remove, "/getLogs": logs} {
			t.Logf("another site, %s%s: %.100s", host, path, b.fetched("http://"+net.JoinHostPort(host, port)+path, body))
		}
	}
	if got := b.fetched("http://"+admin+"/v1/pods", ""); strings.Contains(got, victim.pod.Name) {
		t.Errorf("a page of another site reads the admin address: %s", got)
	}
	// Of a name that points here now: what it fetches is of its own origin.
	visit(fmt.Sprintf("http://evil.example:%d/", otherPort))
	if got := b.fetched(fmt.Sprintf("http://evil.example:%d/readyz", otherPort), ""); !strings.Contains(got, "read by the page") {
		t.Errorf("control: a page with a rebound name cannot read a server without protection: %s", got)
	}
	visit("http://evil.example:" + port + "/healthz")
	for path, body := range map[string]string{"/create": create, "/delete": remove, "/getLogs": logs, "/readyz": ""} {
		got := ""
		eventually(t, runLimit, "an answer to the page", func() bool {
			got = b.fetched("http://evil.example:"+port+path, body)
			return strings.HasPrefix(got, "basic ")
		}, func() string { return got })
		t.Logf("rebound name, %s: %.100s", path, got)
		if !strings.HasPrefix(got, "basic 403 ") && !strings.HasPrefix(got, "basic 421 ") {
			t.Errorf("a page with a rebound name asks %s and gets %s", path, got)
		}
	}
	if strings.Contains(d.log.String(), string(wanted)) {
		t.Errorf("the pod of a page was seen:\n%s", d.log.About(string(wanted)))
	}
	if state := victim.status().Container("c").State; state.Running == nil {
		t.Errorf("the container is in state %+v after the attacks", state)
	}
	// The very bodies are good ones.
	if code, text := d.must(t, http.MethodGet, "/getLogs", []byte(logs)); code != 200 || !strings.Contains(text, "MARK-of-the-victim") {
		t.Errorf("control: the log is %d %s", code, text)
	}
	created := d.runRequest(t, request)
	created.delete(1)
	if code, text := d.must(t, http.MethodPost, "/delete", []byte(remove)); code != 200 {
		t.Errorf("control: delete is answered with %d %s", code, text)
	}
	created.waitGone()
	victim.waitGone()
}
