package mirrors_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/distribution/reference"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/mirrors"
)

var (
	digest     = "sha256:" + strings.Repeat("a", 64)
	registries = mirrors.Registries{
		{Name: "docker.io", Mirrors: []string{"https://mirror.example/", "http://harbor.example:8080/hub", "docker.io"}},
		{Name: "quay.io", Mirrors: []string{"mirror.example"}},
		{Name: "plain.example", Insecure: true},
		{Name: "mirror.example", CAFile: "/etc/ca.pem"},
	}
)

func TestNames(t *testing.T) {
	for _, test := range []struct {
		ref  string
		want []string
	}{
		{"app", []string{"mirror.example/library/app:latest", "harbor.example:8080/hub/library/app:latest"}},
		{"team/app:1", []string{"mirror.example/team/app:1", "harbor.example:8080/hub/team/app:1"}},
		{"team/app:1@" + digest, []string{"mirror.example/team/app@" + digest, "harbor.example:8080/hub/team/app@" + digest}},
		{"quay.io/a/b/c:2", []string{"mirror.example/a/b/c:2"}},
		{"plain.example/app:1", nil},
		{"mirror.example/library/app:1", nil},
	} {
		named, err := reference.ParseDockerRef(test.ref)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, one := range registries.Names(named) {
			got = append(got, one.String())
		}
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", test.ref, got, test.want)
		}
	}
}

func TestOriginals(t *testing.T) {
	at := func(names ...string) []string {
		var out []string
		for _, name := range names {
			out = append(out, name+"@"+digest)
		}
		return out
	}
	for _, test := range []struct {
		name                 string
		digests, names, want []string
	}{
		{"by its tag", at("mirror.example/library/app"), []string{"app:1"}, at("app")},
		{"one mirror of two registries", at("mirror.example/a/b"), []string{"quay.io/a/b:1"}, at("quay.io/a/b")},
		{"below a path", at("harbor.example:8080/hub/team/app"), []string{"docker.io/team/app:1"}, at("team/app")},
		{"beside the path", at("harbor.example:8080/other/app"), []string{"docker.io/team/app:1"}, at("harbor.example:8080/other/app")},
		{"both", at("app", "mirror.example/library/app"), []string{"app:1"}, at("app")},
		{"of another name", at("mirror.example/library/app"), []string{"else:1"}, at("mirror.example/library/app")},
		{"pulled from the mirror by its own name", at("mirror.example/library/app"), []string{"mirror.example/library/app:1"}, at("mirror.example/library/app")},
		{"without a name", at("mirror.example/library/app"), nil, at("app")},
		{"of no mirror", at("r.example/app"), []string{"app:1"}, at("r.example/app")},
		{"no digest", []string{"UPPER@x"}, nil, []string{"UPPER@x"}},
	} {
		if got := registries.Originals(test.digests, test.names); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", test.name, got, test.want)
		}
	}
}

func TestHowEnginesReachThem(t *testing.T) {
	if got, want := registries.Insecure(), []string{"harbor.example:8080", "plain.example"}; !slices.Equal(got, want) {
		t.Errorf("insecure: %q, want %q", got, want)
	}
	if got := registries.Certificates(); len(got) != 1 || got["mirror.example"] != "/etc/ca.pem" {
		t.Errorf("certificates: %v", got)
	}
}
