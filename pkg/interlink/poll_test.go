package interlink_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/interlink"
)

// pod is the text of one, with the other members that a poll has.
func pod(uid, phase string) string {
	return `{"metadata":{"uid":"` + uid + `","annotations":{"a":"}{"}},"spec":{"containers":[{"name":"main"}]},"status":{"phase":"` + phase + `"}}`
}

func list(pods ...string) string { return "[" + strings.Join(pods, ",") + "]" }

// TestPolls: a poll is read in order, or refused as a whole.
func TestPolls(t *testing.T) {
	a, b, c := pod("a", "Running"), pod("b", "Pending"), pod("c", "Running")
	for name, poll := range map[string]struct {
		body string
		uids []string // nil is an error
	}{
		"one":                 {list(a), []string{"a"}},
		"some":                {list(a, b, c), []string{"a", "b", "c"}},
		"spaced":              {" [\n" + a + " ,\t" + b + ",\r" + c + " ]\n", []string{"a", "b", "c"}},
		"another order":       {list(c, a, b), []string{"c", "a", "b"}},
		"one is there twice":  {list(a, a, b, b), []string{"a", "a", "b", "b"}},
		"no pod":              {"[]", []string{}},
		"nothing":             {"", []string{}},
		"null":                {"null", []string{}},
		"a null among pods":   {list(a, "null", c), []string{"a", "", "c"}},
		"a name's other case": {list(a, strings.Replace(b, "uid", "UID", 1)), []string{"a", "b"}},
		"no comma":            {"[" + a + b + "]", nil},
		"a comma too many":    {"[" + a + "," + b + ",]", nil},
		"two commas":          {"[" + a + ",," + b + "]", nil},
		"not ended":           {strings.TrimSuffix(list(a, b), "]"), nil},
		"ends in a pod":       {list(a, b)[:len(list(a, b))-5], nil},
		"goes on":             {list(a) + "]", nil},
		"an end alone":        {"]", nil},
		"an end after a pod":  {a + "]", nil},
		"a second list":       {list(a) + list(a), nil},
		"a name given twice":  {list(a, `{"status":{},"status":{}}`), nil},
		"another kind":        {list(a, `{"status":[]}`), nil},
		"a text among pods":   {list(a, `"b"`, c), nil},
		"an object, no list":  {a, nil},
	} {
		t.Run(name, func(t *testing.T) {
			pods, err := interlink.DecodeStatus([]byte(poll.body))
			if (err == nil) != (poll.uids != nil) {
				t.Fatalf("error %v, want one: %t", err, poll.uids == nil)
			}
			var uids []string
			for _, p := range pods {
				uids = append(uids, string(p.UID))
			}
			if !slices.Equal(uids, poll.uids) {
				t.Errorf("pods %q, want %q", uids, poll.uids)
			}
		})
	}
}

// TestPollsAreNotTheCallersMemory: the buffer of a body is used again.
func TestPollsAreNotTheCallersMemory(t *testing.T) {
	body := []byte(list(pod("a", "Running")))
	pods, err := interlink.DecodeStatus(body)
	copy(body, list(pod("b", "Pending")))
	if err != nil || len(pods) != 1 || pods[0].UID != "a" || pods[0].Status.Phase != "Running" || pods[0].Annotations["a"] != "}{" {
		t.Errorf("read %+v, %v, want pod a", pods, err)
	}
}
