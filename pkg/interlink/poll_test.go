package interlink_test

import (
	"reflect"
	"strings"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/interlink"
)

// pod is the text of one, with the other members that a poll has.
func pod(uid, phase string) string {
	return `{"metadata":{"uid":"` + uid + `","annotations":{"a":"}{"}},"spec":{"containers":[{"name":"main"}]},"status":{"phase":"` + phase + `"}}`
}

func list(pods ...string) string { return "[" + strings.Join(pods, ",") + "]" }

// TestPolls: whatever was polled before, a poll is read as if it were the first.
func TestPolls(t *testing.T) {
	a, b, c, d := pod("a", "Running"), pod("b", "Pending"), pod("c", "Running"), pod("d", "Running")
	before := list(a, b, c)
	for name, body := range map[string]string{
		"the same":            before,
		"spaced":              " [\n" + a + " ,\t" + b + ",\r" + c + " ]\n",
		"one has changed":     list(a, pod("b", "Running"), c),
		"all have changed":    list(pod("a", "Failed"), pod("b", "Failed"), pod("c", "Failed")),
		"one is new":          list(a, d, b, c),
		"the first is new":    list(d, a, b, c),
		"the last is new":     before[:len(before)-1] + "," + d + "]",
		"one is gone":         list(a, c),
		"the first is gone":   list(b, c),
		"the last is gone":    list(a, b),
		"another order":       list(c, a, b),
		"one is there twice":  list(a, a, b, b),
		"no pod":              "[]",
		"nothing":             "",
		"null":                "null",
		"a null among pods":   list(a, "null", c),
		"no comma":            "[" + a + b + "]",
		"a comma too many":    "[" + a + "," + b + ",]",
		"two commas":          "[" + a + ",," + b + "]",
		"not ended":           before[:len(before)-1],
		"ends in a pod":       before[:len(before)-5],
		"goes on":             before + "]",
		"an end alone":        "]",
		"an end after a pod":  a + "]",
		"a second list":       before + before,
		"a name given twice":  list(a, `{"status":{},"status":{}}`),
		"another kind":        list(a, `{"status":[]}`),
		"a text among pods":   list(a, `"b"`, c),
		"an object, no list":  a,
		"a name's other case": list(a, strings.Replace(b, "phase", "PHASE", 1)),
	} {
		t.Run(name, func(t *testing.T) {
			var polls interlink.Polls
			if got, err := polls.Decode([]byte(before)); err != nil || len(got) != 3 {
				t.Fatalf("Decode(%s) = %v, %v", before, got, err)
			}
			sameAsFirst(t, &polls, body)
			sameAsFirst(t, &polls, body)
			sameAsFirst(t, &polls, before)
		})
	}
}

// sameAsFirst compares with DecodeStatus, which remembers nothing.
func sameAsFirst(t *testing.T, polls *interlink.Polls, body string) {
	t.Helper()
	want, wrong := interlink.DecodeStatus([]byte(body))
	got, err := polls.Decode([]byte(body))
	if !reflect.DeepEqual(err, wrong) && (err == nil || wrong == nil || err.Error() != wrong.Error()) {
		t.Fatalf("%.500q: error %v, a first poll %v", body, err, wrong)
	}
	if len(got) != len(want) || len(got) > 0 && !reflect.DeepEqual(got, want) {
		t.Fatalf("%.500q: read %+v, a first poll %+v", body, got, want)
	}
}

// TestPollsAreNotTheCallersMemory: the buffer of a body is used again.
func TestPollsAreNotTheCallersMemory(t *testing.T) {
	var polls interlink.Polls
	body := []byte(list(pod("a", "Running")))
	if _, err := polls.Decode(body); err != nil {
		t.Fatal(err)
	}
	copy(body, list(pod("b", "Running")))
	got, err := polls.Decode(body)
	if err != nil || len(got) != 1 || got[0].UID != "b" {
		t.Errorf("read %+v, %v, want pod b", got, err)
	}
}
