package amend

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// TestParse has command lines as shims of containerd write them.
func TestParse(t *testing.T) {
	for text, want := range map[string]line{
		"--root /run/runc/moby --log /b/log.json --log-format json create --bundle /b --pid-file /b/init.pid id1":                   {command: "create", container: "id1", bundle: "/b", logFile: "/b/log.json"},
		"--root=/r --log=/l --systemd-cgroup create --no-pivot --console-socket /tmp/create --bundle=/b id2":                        {command: "create", container: "id2", bundle: "/b", logFile: "/l"},
		"--root /r --log /l --log-format json exec --process /tmp/runc-process1 --console-socket /tmp/exec --detach --pid-file p i": {command: "exec", container: "i", process: "/tmp/runc-process1", logFile: "/l"},
		"--debug --rootless auto run -b /b id3": {command: "run", container: "id3", bundle: "/b"},
		"--root /r --log /l kill --all id4 9":   {command: "kill", container: "9", logFile: "/l"},
		"--version":                             {},
		"--root create state exec":              {command: "state", container: "exec"},
		"":                                      {},
		"--log":                                 {},
		"delete --force create":                 {command: "delete", container: "create"},
		"exec --process --detach id5":           {command: "exec", process: "--detach", container: "id5"},
	} {
		if got := parse(strings.Fields(text)); got != want {
			t.Errorf("%s: %+v, want %+v", text, got, want)
		}
	}
}

// TestAmend: what is noted for a container is in its description and in that of each further
// process, and all else stays.
func TestAmend(t *testing.T) {
	notes, bundle := filepath.Join(t.TempDir(), "notes"), t.TempDir()
	given := initapi.Amendment{Container: "c1", AppArmor: "k8s-a", HugePages: []initapi.HugePages{{PageBytes: 2 << 20, Bytes: 4 << 20}, {PageBytes: 1 << 30}}}
	for range 2 {
		if err := note(notes, given); err != nil {
			t.Fatal(err)
		}
	}
	config, process := filepath.Join(bundle, "config.json"), filepath.Join(bundle, "process")
	put(t, config, `{"ociVersion":"1.0.2","process":{"args":["a"],"x":1e400},"linux":{"resources":{"memory":{"limit":7}},"y":[]},"z":{}}`)
	put(t, process, `{"args":["b"],"apparmorProfile":"docker-default"}`)
	for _, l := range []line{{command: "create", container: "c1", bundle: bundle}, {command: "exec", container: "c1", process: process}, {command: "kill", container: "9"}, {}} {
		if err := l.amend(notes); err != nil {
			t.Fatalf("%+v: %v", l, err)
		}
	}
	same(t, config, `{"ociVersion":"1.0.2","process":{"args":["a"],"x":1e400,"apparmorProfile":"k8s-a"},"linux":{"resources":{"memory":{"limit":7},`+
		`"hugepageLimits":[{"pageSize":"2MB","limit":4194304},{"pageSize":"1GB","limit":0}]},"y":[]},"z":{}}`)
	same(t, process, `{"args":["b"],"apparmorProfile":"k8s-a"}`)
}

// TestAmendFails: nothing is started of which it is not known what it is to be given.
func TestAmendFails(t *testing.T) {
	notes, bundle := t.TempDir(), t.TempDir()
	put(t, filepath.Join(notes, "bad"), `{`)
	if err := note(notes, initapi.Amendment{Container: "c1", AppArmor: "a"}); err != nil {
		t.Fatal(err)
	}
	put(t, filepath.Join(bundle, "config.json"), `{"linux":{}}`)
	for name, l := range map[string]line{
		"no note":          {command: "create", container: "c2", bundle: bundle},
		"no id":            {command: "create", container: "../x", bundle: bundle},
		"broken note":      {command: "create", container: "bad", bundle: bundle},
		"no bundle":        {command: "run", container: "c1"},
		"no description":   {command: "create", container: "c1", bundle: notes},
		"no process in it": {command: "create", container: "c1", bundle: bundle},
		"no process":       {command: "exec", container: "c1"},
	} {
		if err := l.amend(notes); err == nil {
			t.Errorf("%s: it goes on", name)
		}
	}
	for _, id := range []string{"", ".", "..", "a/b", ".new"} {
		if note(notes, initapi.Amendment{Container: id}) == nil {
			t.Errorf("a note for %q is taken", id)
		}
	}
	log := filepath.Join(bundle, "log.json")
	if code := Command([]string{"--log", log, "create", "--bundle", bundle, "c3"}, nil); code == 0 {
		t.Error("the command succeeds")
	}
	text, err := os.ReadFile(log)
	var entry struct{ Level, Msg string }
	if err != nil || json.Unmarshal(text, &entry) != nil || entry.Level != "error" || !strings.Contains(entry.Msg, "was not told") {
		t.Errorf("the log has %q, %v", text, err)
	}
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// same compares JSON, with numbers as they are written.
func same(t *testing.T, path, want string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	decode := func(text string) any {
		var out any
		decoder := json.NewDecoder(strings.NewReader(text))
		decoder.UseNumber()
		if err := decoder.Decode(&out); err != nil {
			t.Fatal(err)
		}
		return out
	}
	if diff := cmp.Diff(decode(want), decode(string(text))); diff != "" {
		t.Error(diff)
	}
}
