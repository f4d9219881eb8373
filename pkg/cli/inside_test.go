package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/go-cmp/cmp"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/admin"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
)

func TestParsePorts(t *testing.T) {
	for text, want := range map[string]ports{"80": {80, 80}, "8080:80": {8080, 80}, ":80": {0, 80}, "0:80": {0, 80}, "65535": {65535, 65535}} {
		if got, err := parsePorts(text); err != nil || got != want {
			t.Errorf("parsePorts(%q) = %v, %v, want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"", ":", "0", "80:", "80:0", "65536", "-1", "a", "1:2:3", "http", "1 "} {
		if got, err := parsePorts(text); !errdefs.IsInvalidArgument(err) {
			t.Errorf("parsePorts(%q) = %v, %v, want an error", text, got, err)
		}
	}
}

func TestParsePlace(t *testing.T) {
	for text, want := range map[string]place{
		"pod:/a":           {pod: "pod", path: "/a"},
		"ns/pod:/a":        {pod: "ns/pod", path: "/a"},
		"ns/pod:main:/a":   {pod: "ns/pod", container: "main", path: "/a"},
		"pod:main:rel":     {pod: "pod", container: "main", path: "rel"},
		"pod:/with:colon":  {pod: "pod", path: "/with:colon"},
		"pod:":             {pod: "pod"},
		"file":             {path: "file"},
		"/abs/with:colon":  {path: "/abs/with:colon"},
		"./with:colon":     {path: "./with:colon"},
		"../with:colon":    {path: "../with:colon"},
		":x":               {path: ":x"},
		"pod:UPPER:x":      {pod: "pod", path: "UPPER:x"},
		"pod:main:/a:b:c/": {pod: "pod", container: "main", path: "/a:b:c/"},
	} {
		if got := parsePlace(text); got != want {
			t.Errorf("parsePlace(%q) = %+v, want %+v", text, got, want)
		}
	}
}

func TestNearest(t *testing.T) {
	names := []string{"main", "sidecar", "train-0", "train-1", "evaluation-of-the-model"}
	for wrong, want := range map[string][]string{
		"mian": {"main"}, "maim": {"main"}, "train-2": {"train-0", "train-1"}, "evaluation": {"evaluation-of-the-model"}, "zzzzzzz": nil, "side": {"sidecar"},
	} {
		if diff := cmp.Diff(want, admin.Nearest(wrong, names)); diff != "" {
			t.Errorf("Nearest(%q) (-want +got):\n%s", wrong, diff)
		}
	}
	list := []podstatus.View{{Namespace: "a", Name: "web"}, {Namespace: "b", Name: "web"}, {Namespace: "b", Name: "other"}}
	for wrong, want := range map[string]string{"wbe": "did you mean a/web or b/web?", "c/web": "did you mean a/web or b/web?", "nothing-like-it": "docker-sd pods lists"} {
		if err := unknownPod(list, wrong); !errdefs.IsNotFound(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("unknownPod(%q) = %v, want %q", wrong, err, want)
		}
	}
}

// TestEventWriter: each event once, with a gap told, and anew after a restart of docker-sd.
func TestEventWriter(t *testing.T) {
	var out bytes.Buffer
	w := &eventWriter{screen: Screen{Out: &out}}
	list := func(numbers ...uint64) admin.Events {
		var l admin.Events
		for _, n := range numbers {
			l.Events = append(l.Events, admin.Event{Number: n, Time: time.Unix(int64(n), 0), What: "event-" + string(rune('a'+n)), PodName: "p", Namespace: "n"})
		}
		return l
	}
	for _, c := range []struct {
		list admin.Events
		want []string
	}{
		{list(2, 1), []string{"TIME", "event-b", "event-c"}},
		{list(2, 1), nil},
		{list(3, 2), []string{"event-d"}},
		{list(9, 8), []string{"more has happened", "event-i", "event-j"}},
		{list(1), []string{"event-b"}},
		{list(), nil},
	} {
		out.Reset()
		if err := w.write(c.list); err != nil {
			t.Fatal(err)
		}
		text := out.String()
		for _, want := range c.want {
			if !strings.Contains(text, want) {
				t.Errorf("after %v it prints %q, want %q in it", c.list, text, want)
			}
		}
		if lines := strings.Count(text, "\n"); lines != len(c.want) {
			t.Errorf("after %v it prints %d lines, want %d:\n%s", c.list, lines, len(c.want), text)
		}
	}
}
