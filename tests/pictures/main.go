// Command pictures draws the pictures in docs/img: the status page, as a browser
// shows it, and the panels of the Grafana dashboard, from what Prometheus
// (Debian's package) scraped of a docker-sd at work:
//
//	make pictures
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
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/admin"
	"github.com/intertwin-eu/interlink-docker-plugin/tests/browser"
)

func main() {
	out := flag.String("out", "docs/img", "folder of the pictures")
	length := flag.Duration("for", 4*time.Minute, "how long docker-sd is watched")
	flag.Parse()
	ctx, cancel := context.WithTimeout(context.Background(), *length+5*time.Minute)
	defer cancel()
	if err := errors.Join(statusPage(ctx, filepath.Join(*out, "status.png")), dashboard(ctx, filepath.Join(*out, "dashboard.png"), *length)); err != nil {
		fmt.Fprintln(os.Stderr, "pictures:", err)
		os.Exit(1)
	}
}

// statusPage shows a node that exists only here.
func statusPage(ctx context.Context, path string) error {
	server := httptest.NewServer(admin.New(admin.Config{Source: example{}, Metrics: http.NotFoundHandler(), Usage: example{}.Usage}).Handler())
	defer server.Close()
	return photograph(ctx, server.URL+"/", path, 1200)
}

// photograph writes a picture of a whole page.
func photograph(ctx context.Context, url, path string, width int) error {
	page, stop, err := browser.Open(ctx, width, 800)
	if err != nil {
		return err
	}
	defer stop()
	if err := chromedp.Do(page, chromedp.Navigate(url)); err != nil {
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
