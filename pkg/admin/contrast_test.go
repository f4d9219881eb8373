package admin

import (
	"fmt"
	"math"
	"regexp"
	"strings"
	"testing"
)

// TestContrast: texts have the contrast of WCAG's level AA (1.4.3) on each ground that they
// are on, and shapes that tell something that of 1.4.11, in light and in dark.
func TestContrast(t *testing.T) {
	style, err := files.ReadFile("page/page.css")
	if err != nil {
		t.Fatal(err)
	}
	light, dark, found := strings.Cut(string(style), "prefers-color-scheme: dark")
	dark, _, ended := strings.Cut(dark, "\n}")
	if !found || !ended {
		t.Fatal("there are no colours for the dark")
	}
	for mode, text := range map[string]string{"light": light, "dark": dark} {
		colours := map[string]float64{}
		for _, match := range regexp.MustCompile(`--([a-z]+): (#[0-9a-f]+);`).FindAllStringSubmatch(text, -1) {
			colours[match[1]] = luminance(t, match[2])
		}
		for _, ground := range []string{"back", "card", "shade"} {
			for colour, least := range map[string]float64{"text": 4.5, "dim": 4.5, "link": 4.5, "warn": 4.5, "bad": 4.5, "good": 3, "busy": 3, "idle": 3, "edge": 3} {
				a, known := colours[colour]
				b, there := colours[ground]
				if ratio := (max(a, b) + 0.05) / (min(a, b) + 0.05); !known || !there || ratio < least {
					t.Errorf("%s: %s on %s has a contrast of %.2f, want %.1f", mode, colour, ground, ratio, least)
				}
			}
		}
	}
}

// luminance of a colour as WCAG defines it.
func luminance(t *testing.T, colour string) float64 {
	t.Helper()
	if len(colour) == 4 {
		colour = "#" + strings.Repeat(colour[1:2], 2) + strings.Repeat(colour[2:3], 2) + strings.Repeat(colour[3:], 2)
	}
	var parts [3]uint8
	if _, err := fmt.Sscanf(colour, "#%02x%02x%02x", &parts[0], &parts[1], &parts[2]); err != nil {
		t.Fatalf("%s: %v", colour, err)
	}
	out := 0.0
	for i, weight := range []float64{0.2126, 0.7152, 0.0722} {
		c := float64(parts[i]) / 255
		if c <= 0.04045 {
			c /= 12.92
		} else {
			c = math.Pow((c+0.055)/1.055, 2.4)
		}
		out += weight * c
	}
	return out
}
