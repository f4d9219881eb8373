// Command pictures draws the pictures in docs/img: the status page, as a browser
// shows it, and the panels of the Grafana dashboard, from what Prometheus
// (Debian's package) scraped of a docker-sd at work:
//
//	make pictures
//	go run ./tests/pictures -pages    # the status page alone
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/access"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/admin"
	"github.com/intertwin-eu/interlink-docker-plugin/tests/browser"
)

func main() {
	out := flag.String("out", "docs/img", "folder of the pictures")
	length := flag.Duration("for", 4*time.Minute, "how long docker-sd is watched")
	pages := flag.Bool("pages", false, "only the status page, which takes some seconds")
	variants := flag.Bool("variants", false, "the status page also in light, in dark and on a small screen")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), *length+5*time.Minute)
	defer cancel()
	err := statusPage(ctx, *out, *variants)
	if !*pages {
		err = errors.Join(err, dashboard(ctx, filepath.Join(*out, "dashboard.png"), *length))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "pictures:", err)
		os.Exit(1)
	}
}

// statusPage shows a node that exists only here, and one of its pods, as the owner sees them.
func statusPage(ctx context.Context, out string, variants bool) (err error) {
	dir, err := os.MkdirTemp("", "pictures")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	operators := admin.New(admin.Config{Source: example{}, Metrics: http.NotFoundHandler(), Usage: example{}.Usage, Hosts: access.NewHosts(),
		Inside: func() admin.Inside { return within{} }, Status: func(error) int { return http.StatusInternalServerError }})
	socket, err := new(net.ListenConfig).Listen(ctx, "unix", filepath.Join(dir, admin.SocketName))
	if err != nil {
		return err
	}
	served := make(chan error, 1)
	go func() { served <- operators.Serve(socket) }()
	defer func() { err = errors.Join(err, operators.Shutdown(ctx), <-served) }()
	client := admin.NewClient(dir)
	defer client.Close()
	server := httptest.NewServer(client.Pages())
	defer server.Close()
	pod := "/pods/" + string(uidOf("1"))
	shots := []shot{{"/", "status", 1200, false}, {pod, "pod", 1200, true}}
	if variants {
		for _, dark := range []bool{false, true} {
			for _, width := range []int{390, 1200} {
				suffix := fmt.Sprintf("-%d-%t", width, dark)
				shots = append(shots, shot{"/?q=vision", "list" + suffix, width, dark}, shot{pod, "pod" + suffix, width, dark},
					shot{"/pods/genomics/align-reads", "missing" + suffix, width, dark}, shot{"/?phase=deleting", "none" + suffix, width, dark})
			}
		}
	}
	for _, p := range shots {
		if err := photograph(ctx, server.URL+p.path, filepath.Join(out, p.name+".png"), p.width, p.dark); err != nil {
			return err
		}
	}
	return nil
}

// shot is a picture of a page.
type shot struct {
	path, name string
	width      int
	dark       bool
}

// photograph writes a picture of a whole page.
func photograph(ctx context.Context, url, path string, width int, dark bool) error {
	page, stop, err := browser.Open(ctx, width, 800)
	if err != nil {
		return err
	}
	defer stop()
	if err := chromedp.Do(page, scheme(dark), chromedp.Navigate(url)); err != nil {
		return fmt.Errorf("open %s: %w", url, err)
	}
	picture, err := chromedp.Run(page, chromedp.FullScreenshot(100))
	if err != nil {
		return fmt.Errorf("photograph %s: %w", url, err)
	}
	small, err := fewerColours(picture)
	if err != nil {
		return fmt.Errorf("photograph %s: %w", url, err)
	}
	return os.WriteFile(path, small, 0o644)
}

// scheme is what the browser prefers.
func scheme(dark bool) chromedp.Action[chromedp.Void] {
	value := map[bool]string{true: "dark", false: "light"}[dark]
	return chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
		_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: value}}})
		return err
	})
}

// fewerColours writes a picture with the 256 colours that are most of it, in a
// third of the bytes.
func fewerColours(picture []byte) ([]byte, error) {
	seen, err := png.Decode(bytes.NewReader(picture))
	if err != nil {
		return nil, err
	}
	counts, bounds := map[color.Color]int{}, seen.Bounds()
	for y := range bounds.Dy() {
		for x := range bounds.Dx() {
			counts[seen.At(x, y)]++
		}
	}
	colours := slices.SortedFunc(maps.Keys(counts), func(a, b color.Color) int { return counts[b] - counts[a] })
	out := image.NewPaletted(bounds, color.Palette(colours[:min(len(colours), 256)]))
	draw.Draw(out, bounds, seen, bounds.Min, draw.Src)
	var body bytes.Buffer
	encoder := png.Encoder{CompressionLevel: png.BestCompression}
	err = encoder.Encode(&body, out)
	return body.Bytes(), err
}
