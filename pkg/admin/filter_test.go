package admin

import (
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
)

func queryOf(t *testing.T, text string) url.Values {
	t.Helper()
	query, err := url.ParseQuery(text)
	if err != nil {
		t.Fatal(err)
	}
	return query
}

// TestFilter: which of three pods a query shows.
func TestFilter(t *testing.T) {
	list := []podstatus.View{
		{UID: "u-fit", Namespace: "physics", Name: "fit", Phase: "running", Sandbox: "5b0f_dind", ContainerID: "abc123", IP: "10.213.0.12",
			Containers: []podstatus.ContainerView{{Name: "main", Image: "busybox:1.36"}, {Name: "upload", Image: "aws-cli:2"}}},
		{UID: "u-train", Namespace: "vision", Name: "train-0", Phase: "failed", Network: &podstatus.NetworkView{Address: "10.42.7.7"},
			Containers: []podstatus.ContainerView{{Name: "train", Image: "Registry/PyTorch:2.4", Reason: "OOMKilled"}}},
		{UID: "u-other", Namespace: "vision", Name: "main", Phase: "running"},
	}
	for query, want := range map[string]string{
		"":                              "fit train-0 main",
		"q=":                            "fit train-0 main",
		"q=++":                          "fit train-0 main",
		"q=fit":                         "fit",
		"q=TRAIN":                       "train-0",
		"q=main":                        "fit main", // a container, and a pod
		"q=name:main":                   "main",
		"q=container:main":              "fit",
		"q=vision/":                     "train-0 main",
		"q=busybox:1.36":                "fit", // no field is called busybox
		"q=image:busybox:1.36":          "fit",
		"q=image:pytorch":               "train-0",
		"q=oom":                         "train-0",
		"q=reason:oomkilled":            "train-0",
		"q=5b0f":                        "fit",
		"q=sandbox:abc":                 "fit",
		"q=10.42.7":                     "train-0",
		"q=address:10.213.0.12":         "fit",
		"q=uid:u-o":                     "main",
		"q=main+busybox":                "fit",
		"q=main+pytorch":                "",
		"q=image:":                      "fit train-0",
		"q=u-other&namespace=physics":   "",
		"namespace=vision":              "train-0 main",
		"namespace=Vision":              "",
		"phase=running":                 "fit main",
		"phase=gone":                    "",
		"namespace=vision&phase=failed": "train-0",
		"unknown=parameter":             "fit train-0 main",
	} {
		var names []string
		for _, p := range filterOf(queryOf(t, query)).choose(list).Pods {
			names = append(names, p.Name)
		}
		if got := strings.Join(names, " "); got != want {
			t.Errorf("%q shows %q, want %q", query, got, want)
		}
	}
}

// TestPagesOfList: each pod is on one page, and a page that is not there any more is the last.
func TestPagesOfList(t *testing.T) {
	var list []podstatus.View
	for i := range 2*rowsOfPage + 1 {
		list = append(list, podstatus.View{UID: types.UID(fmt.Sprint(i)), Namespace: fmt.Sprint("n", i%2), Name: fmt.Sprint("p", i)})
	}
	for query, want := range map[string][7]int{ // page, first, last, matching, all, previous, next
		"":                 {1, 1, 50, 101, 101, 0, 2},
		"page=0":           {1, 1, 50, 101, 101, 0, 2},
		"page=-3":          {1, 1, 50, 101, 101, 0, 2},
		"page=x":           {1, 1, 50, 101, 101, 0, 2},
		"page=2":           {2, 51, 100, 101, 101, 1, 3},
		"page=3":           {3, 101, 101, 101, 101, 2, 0},
		"page=99999999999": {3, 101, 101, 101, 101, 2, 0},
		"namespace=n1":     {1, 1, 50, 50, 101, 0, 0},
		"q=none":           {1, 1, 0, 0, 101, 0, 0},
	} {
		s := filterOf(queryOf(t, query)).choose(list)
		if got := [7]int{s.Filter.Page, s.First, s.Last, s.Matching, s.All, s.Previous, s.Next}; got != want {
			t.Errorf("%q: page, first, last, matching, all, previous and next are %v, want %v", query, got, want)
		}
	}
	if s := (filter{}).choose(nil); len(s.Pods) != 0 || s.Next != 0 {
		t.Errorf("of no pods there are %+v", s)
	}
}

// TestFilterLinks: a link has the same effect, whatever was typed; what was chosen and is not
// there stays a choice.
func TestFilterLinks(t *testing.T) {
	want := filter{Query: `a&b="<'# %`, Namespace: "n/1", Phase: "running", Page: 7, Refresh: 10}
	if diff := cmp.Diff(want, filterOf(queryOf(t, strings.TrimPrefix(string(want.link()), "?")))); diff != "" {
		t.Errorf("(-linked +read)\n%s", diff)
	}
	if link := want.link(); strings.ContainsAny(string(link), `"'<> `) {
		t.Errorf("the link is %s", link)
	}
	for what, link := range map[string]string{"phase": string(want.In("failed")), "all": string(want.All()), "page": string(want.At(2)), "stop": string(filter{}.Renewed(0))} {
		if expected := map[string]string{"phase": "?namespace=n%2F1&phase=failed&q=a%26b%3D%22%3C%27%23+%25&refresh=10", "all": "?refresh=10",
			"page": "?namespace=n%2F1&page=2&phase=running&q=a%26b%3D%22%3C%27%23+%25&refresh=10", "stop": "?"}[what]; link != expected {
			t.Errorf("the link for %s is %s, want %s", what, link, expected)
		}
	}
	s := filter{Namespace: "gone", Phase: "odd"}.choose([]podstatus.View{{Namespace: "here"}})
	if diff := cmp.Diff([]string{"gone", "here"}, s.Namespaces); diff != "" || s.Phases[len(s.Phases)-1] != "odd" {
		t.Errorf("to choose from there are %v and %v", s.Namespaces, s.Phases)
	}
}
