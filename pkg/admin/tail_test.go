package admin

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

// TestEnding: the last lines and bytes, as text.
func TestEnding(t *testing.T) {
	numbers := func(from, to int) string {
		var out []string
		for i := from; i <= to; i++ {
			out = append(out, fmt.Sprint(i))
		}
		return strings.Join(out, "\n")
	}
	long := strings.Repeat("x", logBytes+1000)
	for name, c := range map[string]struct {
		writes []string
		want   string
	}{
		"nothing":             {nil, ""},
		"lines":               {[]string{"one\ntw", "o\n"}, "one\ntwo"},
		"without an end":      {[]string{"one\ntwo"}, "one\ntwo"},
		"empty lines":         {[]string{"one\n\ntwo\n"}, "one\n\ntwo"},
		"too many lines":      {[]string{numbers(1, 1000)}, numbers(901, 1000)},
		"one long line":       {[]string{long}, long[:logBytes]},
		"a long line before":  {[]string{long + "\nlast\n"}, "last"},
		"in many writes":      {[]string{long[:logBytes-10], "\nfirst\n", "last, which is longer\n"}, "first\nlast, which is longer"},
		"a progress bar":      {[]string{"10 %\r20 %\r30 %\r\ndone\r\n"}, "10 %\n20 %\n30 %\ndone"},
		"a long progress bar": {[]string{strings.ReplaceAll(numbers(1, 1000), "\n", "\r")}, numbers(901, 1000)},
		"colours":             {[]string{"\x1b[1;31mred\x1b[0m \x1b[38:2:1:2:3mother\x1b[m"}, "red other"},
		"steering":            {[]string{"\x1b[2Jwiped \x1b]0;title\a"}, "\x1b[2Jwiped \x1b]0;title\a"}, // made visible with the page
		"no text":             {[]string{"a\xff\xfeb"}, "a\ufffdb"},
	} {
		var e ending
		for _, text := range c.writes {
			if n, err := e.Write([]byte(text)); n != len(text) || err != nil {
				t.Fatalf("%s: Write() = %d, %v", name, n, err)
			}
		}
		if diff := cmp.Diff(c.want, e.text()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if cap(e.kept) > 4*logBytes {
			t.Errorf("%s: %d bytes of memory are held", name, cap(e.kept))
		}
	}
}

// TestVisible: what cannot be seen is written out, and all else is left as it is.
func TestVisible(t *testing.T) {
	for in, want := range map[string]string{
		"": "",
		"plain <b>text</b>\n\tund Müller 漢字": "plain <b>text</b>\n\tund Müller 漢字",
		"\x1b[31m \a \x00 \r \x7f":           "⟨U+001B⟩[31m ⟨U+0007⟩ ⟨U+0000⟩ ⟨U+000D⟩ ⟨U+007F⟩",
		"\u009b2J":                           "⟨U+009B⟩2J",
		"gpj.\u202etxt\u202c":                "gpj.⟨U+202E⟩txt⟨U+202C⟩",
		"\u2066a\u2069 \u200e\u200f\u061c":   "⟨U+2066⟩a⟨U+2069⟩ ⟨U+200E⟩⟨U+200F⟩⟨U+061C⟩",
		"pay\u200bpal \ufeff \u00ad":         "pay⟨U+200B⟩pal ⟨U+FEFF⟩ ⟨U+00AD⟩",
		"line\u2028para\u2029":               "line⟨U+2028⟩para⟨U+2029⟩",
		"\U000e0041":                         "⟨U+E0041⟩",
		"می\u200cخواهم עברית 👩\u200d🔬":       "می\u200cخواهم עברית 👩\u200d🔬",
		"a\xffb": "a\ufffdb",
	} {
		got := string(visible([]byte(in)))
		if got != want || !utf8.ValidString(got) {
			t.Errorf("visible(%q) = %q, want %q", in, got, want)
		}
	}
	for _, name := range []string{"page/page.html", "page/pod.html", "page/missing.html", "page/parts.html"} {
		if text, err := files.ReadFile(name); err != nil || string(visible(text)) != string(text) {
			t.Errorf("%s has characters that cannot be seen (%v)", name, err)
		}
	}
}

// TestBars: each moment is at its place in the start, and what comes later has none.
func TestBars(t *testing.T) {
	at := func(ms, took int, what string, state StepState) Moment {
		return Moment{Time: time.Unix(0, 0).Add(time.Duration(ms) * time.Millisecond), Took: time.Duration(took) * time.Millisecond, What: what, State: state}
	}
	of := func(container string, m Moment) Moment { m.Container = container; return m }
	for name, c := range map[string]struct {
		moments []Moment
		took    string
		want    [][2]float64 // from, width
	}{
		"nothing":       {nil, "", nil},
		"just admitted": {[]Moment{at(0, 0, "admitted", "")}, "", [][2]float64{{0, 0}}},
		"a start": {[]Moment{at(0, 0, "admitted", ""), at(100, 300, "pull", ""), at(400, 0, "started", "")}, "400ms",
			[][2]float64{{0, leastBar}, {25, 75}, {barUnits - leastBar, leastBar}}},
		"one that goes on": {[]Moment{at(0, 0, "admitted", ""), at(1000, 0, "pull", StepGoesOn), at(4000, 0, "claim", "")}, "4s",
			[][2]float64{{0, leastBar}, {25, 75}, {barUnits - leastBar, leastBar}}},
		"a long pull": {[]Moment{at(0, 600_000, "pull", ""), at(600_000, 0, "started", ""), at(1_100_000, 0, "ready", "")}, "18m20s",
			[][2]float64{{0, 100. * 6 / 11}, {100. * 6 / 11, leastBar}, {barUnits - leastBar, leastBar}}},
		"a restart": {[]Moment{at(0, 100, "start", ""), at(3_600_000, 100, "start", "")}, "100ms", [][2]float64{{0, 100}, {0, 0}}},
		"an end":    {[]Moment{at(0, 100, "start", ""), at(200, 0, "ended", "")}, "100ms", [][2]float64{{0, 100}, {0, 0}}},
		"an end on the way": {[]Moment{at(0, 100, "init", ""), at(100, 0, "ended", ""), at(100, 100, "start", "")}, "200ms",
			[][2]float64{{0, 50}, {50, leastBar}, {50, 50}}},
		"a quick restart": {[]Moment{of("main", at(0, 100, "start", "")), of("side", at(100, 100, "start", "")), of("main", at(300, 100, "start", ""))}, "200ms",
			[][2]float64{{0, 50}, {50, 50}, {0, 0}}},
		"a clock that was set back": {[]Moment{at(-5000, 0, "started", ""), at(0, 0, "admitted", ""), at(10, 10, "volumes", "")}, "20ms",
			[][2]float64{{0, leastBar}, {0, leastBar}, {50, 50}}},
	} {
		got := barsOf(time.Unix(0, 0), c.moments)
		if got.StartTook != c.took || len(got.Timeline) != len(c.want) {
			t.Errorf("%s: %d moments of %q, want %d of %q", name, len(got.Timeline), got.StartTook, len(c.want), c.took)
			continue
		}
		for i, b := range got.Timeline {
			if diff := b.From - c.want[i][0]; diff*diff > 0.01 || (b.Width-c.want[i][1])*(b.Width-c.want[i][1]) > 0.01 {
				t.Errorf("%s: %s is drawn at %v, %v, want %v", name, b.What, b.From, b.Width, c.want[i])
			}
		}
	}
}
