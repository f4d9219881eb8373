//go:build e2e

package e2e_test

import (
	"context"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/admin"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/usage"
)

// lengthy is a node on which every text is as long as it may be, without a place for a break.
type lengthy struct{ admin.Inside }

var longText = strings.Repeat("long", 60)

func (lengthy) Info() admin.Info {
	return admin.Info{Version: longText, Instance: longText, Address: longText}
}
func (lengthy) Troubles() []string { return nil }
func (lengthy) Pods() admin.Pods {
	return admin.Pods{Pods: []podstatus.View{{UID: "u1", Namespace: longText[:63], Name: longText, Phase: podstatus.PhaseRunning, Created: time.Now(), Sandbox: longText,
		Containers: []podstatus.ContainerView{{Name: longText[:63], Image: longText, State: "waiting", Reason: longText, Message: longText}}}}}
}

func (lengthy) Pool() admin.Pool {
	return admin.Pool{Sandboxes: []admin.Sandbox{{Name: longText, State: admin.SandboxClaimed, PodUID: "u1", Namespace: longText[:63], PodName: longText}}}
}

func (lengthy) GPUs() gpu.Snapshot {
	return gpu.Snapshot{Totals: map[string]int64{longText: 1}, Devices: []gpu.DeviceState{{Device: gpu.Device{UUID: longText, Name: longText}, State: gpu.StateFree,
		Holders: []string{"u1"}}}}
}

func (lengthy) Events() admin.Events {
	return admin.Events{Events: []admin.Event{{Time: time.Now(), What: longText, PodUID: "u1", Namespace: longText[:63], PodName: longText, Detail: longText}}}
}

func (l lengthy) Usage() usage.Report {
	one := usage.Pod{UID: "u1"}
	for ago := range 60 {
		one.History = append(one.History, usage.Point{Second: time.Now().Add(-time.Duration(60-ago) * time.Minute).Unix(), Cores: 1, KiB: 1})
	}
	return usage.Report{Pods: []usage.Pod{one}}
}

func (l lengthy) Describe(types.UID) (admin.Description, error) {
	return admin.Description{Labels: map[string]string{longText: longText}, Events: l.Events().Events,
		Containers: []admin.DescribedContainer{{Spec: v1.Container{Name: longText[:63], Command: []string{longText}}}},
		Timeline:   []admin.Moment{{Time: time.Now(), What: longText, Container: longText, Detail: longText, Took: time.Second}}}, nil
}

func (lengthy) Log(_ context.Context, _ admin.LogQuery, w io.Writer) error {
	_, err := io.WriteString(w, longText+longText)
	return err
}

// TestPagesForAll: what can be used or seen has a name for those who hear the page, it has one
// heading of the first level, and on a screen of 320 pixels it is read without scrolling to the
// side (WCAG 4.1.2, 1.3.1, 1.4.10).
func TestPagesForAll(t *testing.T) {
	t.Parallel()
	address := pagesOf(t, admin.Config{Source: lengthy{}, Usage: lengthy{}.Usage, Inside: func() admin.Inside { return lengthy{} }})
	for path, parts := range map[string][]string{
		"/?q=long":    {"searchbox", "combobox", "button", "link", "table", "image", "region", "navigation", "search"},
		"/pods/u1":    {"link", "table", "image", "region", "navigation", "DisclosureTriangle"},
		"/pods/longx": {"link", "navigation"},
	} {
		b := openTab(t, address+path)
		b.goesLive(address + path)
		found := map[string]bool{}
		for _, n := range b.heard() {
			role, name := n[0], n[1]
			found[role] = true
			if slices.Contains([]string{"searchbox", "combobox", "button", "link", "image", "region", "navigation", "DisclosureTriangle", "textbox"}, role) && name == "" {
				t.Errorf("%s: a %s has no name", path, role)
			}
		}
		for _, role := range parts {
			if !found[role] {
				t.Errorf("%s has no %s", path, role)
			}
		}
		if n := ask[int](b, `document.querySelectorAll("h1").length`); n != 1 {
			t.Errorf("%s has %d headings of the first level", path, n)
		}
		for _, width := range []int64{320, 900, 1200} {
			b.resize(width)
			if over := ask[string](b, `[...document.querySelectorAll("body *")].filter(e => e.getBoundingClientRect().right > innerWidth + 1 && !e.closest("thead")).map(e => e.tagName + "." + e.className).join()`); over != "" ||
				ask[bool](b, `document.documentElement.scrollWidth > innerWidth`) {
				t.Errorf("%s is wider than a screen of %d pixels: %.300s", path, width, over)
			}
		}
	}
}

// heard is the role and the name of all that is read out.
func (b *tab) heard() (out [][2]string) {
	b.t.Helper()
	text := func(v *accessibility.Value) string {
		if v == nil {
			return ""
		}
		return strings.TrimSpace(strings.Trim(string(v.Value), `"`))
	}
	err := chromedp.Do(b.ctx, chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		tree, err := cdp.Call(ctx, t, accessibility.GetFullAXTree, accessibility.GetFullAXTreeParams{})
		if err != nil {
			return err
		}
		for _, n := range tree.Nodes {
			if !n.Ignored {
				out = append(out, [2]string{text(n.Role), text(n.Name)})
			}
		}
		return nil
	}))
	if err != nil {
		b.t.Fatal(err)
	}
	return out
}

// resize makes the window so wide.
func (b *tab) resize(width int64) {
	b.t.Helper()
	err := chromedp.Do(b.ctx, chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: 800, DeviceScaleFactor: 1})
		return err
	}))
	if err != nil {
		b.t.Fatal(err)
	}
	eventually(b.t, runLimit, "the window has its width", func() bool { return ask[int64](b, `innerWidth`) == width }, nil)
}
