//go:build e2e

package e2e_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/admin"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
	"github.com/intertwin-eu/interlink-docker-plugin/tests/browser"
)

// tab is a page in a browser.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu       sync.Mutex
	problems []string
}

func openTab(t *testing.T, url string, before ...chromedp.Action[chromedp.Void]) *tab {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Minute)
	t.Cleanup(cancel)
	page, stop, err := browser.Open(ctx, 1200, 900)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(stop)
	b := &tab{t: t, ctx: page}
	thrown := chromedp.Events(page, runtime.ExceptionThrown)
	go func() { // ends with the page
		for event, err := range thrown {
			if err == nil {
				b.complain(event.ExceptionDetails.Text)
			}
		}
	}()
	for tries := 1; ; tries++ {
		err := chromedp.Do(page, append(before, chromedp.Navigate(url))...)
		if err == nil {
			return b
		}
		if tries == 3 || !strings.Contains(err.Error(), "ERR_NETWORK_CHANGED") {
			t.Fatal(err)
		}
	}
}

// goesLive loads the page again while its script does not run: a browser that is
// starved of CPU may give up on it.
func (b *tab) goesLive(address string) {
	b.t.Helper()
	loaded := time.Now()
	eventually(b.t, 2*runLimit, "the page is live", func() bool {
		if strings.Contains(b.text("#live"), "live") {
			return true
		}
		if time.Since(loaded) > time.Minute {
			loaded = time.Now()
			if err := chromedp.Do(b.ctx, chromedp.Navigate(address)); err != nil {
				b.t.Log(err)
			}
		}
		return false
	}, func() string { return b.text("body") })
}

func (b *tab) complain(text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.problems = append(b.problems, text)
}

func (b *tab) complaints() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.problems)
}

// ask evaluates an expression in the page.
func ask[T any](b *tab, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, runLimit)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// where is the address of the page. One that the browser gave up on is loaded again: it does
// so when interfaces of the host come and go, as those of sandboxes do.
func (b *tab) where() string {
	address := ask[string](b, `location.href`)
	if strings.HasPrefix(address, "chrome-error:") {
		if err := chromedp.Do(b.ctx, chromedp.Reload()); err != nil {
			b.t.Log(err)
		}
	}
	return address
}

func (b *tab) text(selector string) string {
	return ask[string](b, `document.querySelector("`+selector+`")?.innerText ?? ""`)
}

// shows waits until the element has the texts.
func (b *tab) shows(selector string, texts ...string) {
	b.t.Helper()
	eventually(b.t, runLimit, "the page shows "+strings.Join(texts, ", "), func() bool {
		b.where()
		seen := b.text(selector)
		for _, text := range texts {
			if !strings.Contains(seen, text) {
				return false
			}
		}
		return true
	}, func() string {
		return b.text("body") + strings.Join(b.complaints(), "; ")
	})
}

// The page follows a pod from create to delete without being loaded again, and
// what a pod chooses to be called is text in it.
func TestStatusPage(t *testing.T) {
	t.Parallel()
	d := ownDaemon(t, 1, map[string]any{"AdminAddress": "127.0.0.1:0"})
	address := "http://" + d.adminAddress(t) + "/"
	b := openTab(t, address)
	b.goesLive(address)
	b.shows("#pods", "No pods.")
	b.shows("#sandboxes", "1 warm")
	ask[bool](b, `window.before = true`)

	pod := newPod(shell("main", untilStopped))
	const markup = `<img src=x onerror="window.broken=true"><script>window.broken=true</script>`
	pod.Annotations = map[string]string{"note": markup}
	pod.Labels = map[string]string{"note": markup}
	p := d.run(t, pod)
	b.shows("#pods", pod.Name, "running", "main", suite.images.busybox)
	b.shows("#sandboxes", "claimed", pod.Name)
	b.shows("#events", pod.Name, "started", "placed", "created")

	named := newPod(shell("main", "true"))
	named.Name = markup
	if code, _ := d.must(t, http.MethodPost, "/create", encode(t, newCreate(named))); code != http.StatusBadRequest {
		t.Errorf("a pod whose name is markup is answered %d, want 400", code)
	}

	p.delete(0)
	b.shows("#events", "deleting", "deleted")
	b.shows("#pods", "No pods.")
	if !ask[bool](b, `window.before === true`) {
		t.Error("the page was loaded again")
	}
	if ask[bool](b, `window.broken === true || document.querySelector("main img, main script") !== null`) {
		t.Error("markup of a pod became part of the page")
	}
	if text := b.text("#live"); text != "live" {
		t.Errorf("the page calls itself %q, want live", text)
	}
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	b.shows("#live", "no answer since")
	if len(b.complaints()) > 0 {
		t.Errorf("the browser complains: %q", b.complaints())
	}
}

// hostile is a node on which every text tries to be markup.
type hostile struct{}

const hostileText = `"'><script>window.broken=true</script><img src=x onerror="window.broken=true">`

func (hostile) Info() admin.Info {
	return admin.Info{Version: hostileText, Instance: hostileText, Troubles: []string{hostileText}}
}

func (hostile) Pods() admin.Pods {
	return admin.Pods{Pods: []podstatus.View{{UID: hostileText, Namespace: hostileText, Name: hostileText, Phase: hostileText,
		Containers: []podstatus.ContainerView{{Name: hostileText, Image: hostileText, State: hostileText, Message: hostileText}}}}}
}

func (hostile) Pool() admin.Pool   { return admin.Pool{Error: hostileText} }
func (hostile) GPUs() gpu.Snapshot { return gpu.Snapshot{} }
func (hostile) Troubles() []string { return nil }
func (hostile) Events() admin.Events {
	return admin.Events{Events: []admin.Event{{Time: time.Now(), What: hostileText, Detail: hostileText}}}
}

// Whatever reaches the page is text, at its loading and when it is renewed.
func TestStatusPageEscapes(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(admin.New(admin.Config{Source: hostile{}, Metrics: http.NotFoundHandler()}).Handler())
	t.Cleanup(server.Close)
	b := openTab(t, server.URL+"/")
	b.goesLive(server.URL + "/")
	b.shows("#pods", hostileText)
	if ask[bool](b, `(() => { try { document.querySelector("main").innerHTML = "<b>"; return true } catch { return false } })()`) {
		t.Error("a script makes elements of a string")
	}
	ask[bool](b, `document.querySelector("main").replaceChildren(), true`)
	b.shows("#pods", hostileText)
	if ask[bool](b, `window.broken === true || document.querySelector("main img, main script") !== null`) {
		t.Error("markup became part of the page")
	}
}

// Without scripts it is a page all the same, and in dark where that is wished.
func TestStatusPageWithoutScripts(t *testing.T) {
	t.Parallel()
	d := ownDaemon(t, 1, map[string]any{"AdminAddress": "127.0.0.1:0"})
	pod := newPod(shell("main", untilStopped))
	d.run(t, pod).waitPhase(v1.PodRunning)
	b := openTab(t, "http://"+d.adminAddress(t)+"/", withoutScripts(), dark())
	b.shows("#pods", pod.Name, "running")
	if text := b.text("#live"); text != "" {
		t.Errorf("a page without scripts calls itself %q", text)
	}
	// The page renews itself, and has no colours for as long as its style is on the way.
	back := ""
	eventually(t, runLimit, "the page is dark", func() bool {
		back = ask[string](b, `getComputedStyle(document.body).backgroundColor`)
		return back == "rgb(17, 21, 26)"
	}, func() string { return "its background is " + back })
}

// withoutScripts is a browser in which those of pages do not run.
func withoutScripts() chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
		return err
	})
}

func dark() chromedp.Action[chromedp.Void] {
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}}})
		return err
	})
}

// adminAddress is where a daemon that was given port 0 serves operators.
func (d *daemon) adminAddress(t *testing.T) string {
	t.Helper()
	pattern := regexp.MustCompile(`address="?(127\.0\.0\.1:[0-9]+)`)
	var match []string
	eventually(t, runLimit, "the daemon says where its status page is", func() bool {
		match = pattern.FindStringSubmatch(d.log.About("metrics and the status page are served"))
		return match != nil
	}, nil)
	return match[1]
}
