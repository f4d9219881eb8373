package interlink_test

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/interlink"
)

// seeds adds the bodies of all recorded requests and some that nobody sends.
func seeds(f *testing.F) {
	names, err := filepath.Glob("testdata/wire/*.json")
	if err != nil || len(names) == 0 {
		f.Fatal("no recordings", err)
	}
	for _, name := range names {
		f.Add(body(f, strings.TrimSuffix(filepath.Base(name), ".json")))
	}
	for _, text := range []string{"", "null", "[]", "[{}]", "{}", "[null,{}]", `{"pod":null,"container":[null]}`, "\xef\xbb\xbf{}",
		`{"pod":{"spec":{"containers":[{"resources":{"limits":{"cpu":"1e99","memory":9e9}}}]}}}`,
		`{"UID":"a","metadata":{"uid":"b"}}`, `{"a":1,"a":2}`, `{"a":"\ud800"}`, `{"Opts":{"Tail":1e400}}`, strings.Repeat("[", 20000)} {
		f.Add([]byte(text))
	}
}

// stable wants that a value survives being written and read again.
func stable[T any](t *testing.T, value T, decode func([]byte) (T, error)) {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatalf("what was read cannot be written: %v", err)
	}
	again, err := decode(text)
	if err != nil {
		t.Fatalf("%s is written but not read: %v", text, err)
	}
	if second, err := json.Marshal(again); err != nil || !bytes.Equal(text, second) {
		t.Fatalf("written once  %s\nwritten twice %s (%v)", text, second, err)
	}
}

// sentence wants an error that can be shown to a user: one line of UTF-8.
func sentence(t *testing.T, err error) {
	t.Helper()
	if text := err.Error(); text == "" || !utf8.ValidString(text) || strings.ContainsAny(text, "\n\r\x00") {
		t.Fatalf("unclear error %q", text)
	}
}

// FuzzDecodeCreate: what is taken is UTF-8 without names given twice, and stays
// what it is when it is written and read again.
func FuzzDecodeCreate(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		request, err := interlink.DecodeCreate(body)
		if err != nil {
			sentence(t, err)
			return
		}
		if !utf8.Valid(body) {
			t.Fatal("not UTF-8, and taken")
		}
		stable(t, request, interlink.DecodeCreate)
	})
}

// FuzzDecodeStatus: a poll is read in order and no pod is dropped.
func FuzzDecodeStatus(f *testing.F) {
	seeds(f)
	for _, text := range []string{list(pod("a", "Running"), pod("b", "Running")), list(pod("b", "Failed")), "[{},{}]", `[{"a":1},{"a":2}] `} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		pods, err := interlink.DecodeStatus(body)
		if err != nil {
			sentence(t, err)
			return
		}
		var list []json.RawMessage
		if len(bytes.TrimSpace(body)) > 0 && json.Unmarshal(body, &list) != nil || len(list) != len(pods) {
			t.Fatalf("%d pods were read from a list of %d", len(pods), len(list))
		}
		if len(pods) > 0 {
			stable(t, pods, interlink.DecodeStatus)
		}
	})
}

// FuzzDecodeDelete: the identity is the same in both forms of the body.
func FuzzDecodeDelete(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		pod, err := interlink.DecodeDelete(body)
		if err != nil {
			sentence(t, err)
			return
		}
		text, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": pod.UID, "namespace": pod.Namespace,
			"name": pod.Name, "deletionGracePeriodSeconds": pod.DeletionGracePeriodSeconds}})
		if err != nil {
			t.Fatal(err)
		}
		again, err := interlink.DecodeDelete(text)
		if err != nil {
			t.Fatalf("%s is written but not read: %v", text, err)
		}
		// Without a UID the other form is read, which has none either.
		if again.UID != pod.UID || pod.UID != "" && (again.Namespace != pod.Namespace || again.Name != pod.Name) {
			t.Fatalf("read %+v, then %+v", pod, again)
		}
	})
}

// FuzzDecodeLogs: what is read stays what it is when written and read again.
func FuzzDecodeLogs(f *testing.F) {
	seeds(f)
	f.Fuzz(func(t *testing.T, body []byte) {
		request, err := interlink.DecodeLogs(body)
		if err != nil {
			sentence(t, err)
			return
		}
		stable(t, request, interlink.DecodeLogs)
	})
}
