package doctor

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/preflight"
)

const instances, keys = "fs.inotify.max_user_instances", "kernel.keys.root_maxkeys"

// newHost has parameters that are low, and a file of the administrator's.
func newHost(t *testing.T) sysctls {
	t.Helper()
	s := sysctls{t.TempDir()}
	put(t, s.kernel(instances), "128\n")
	put(t, s.kernel(keys), "200\n")
	put(t, filepath.Join(s.root, "etc/sysctl.d/10-own.conf"), instances+"=64\n")
	return s
}

func put(t *testing.T, path, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(text), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// files are all of a host, by path.
func (s sysctls) files(t *testing.T) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(s.root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !entry.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		out[strings.TrimPrefix(path, s.root)] = strings.TrimSpace(string(text))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func low(key string, want uint64) preflight.Report {
	return preflight.Report{Lines: []preflight.Line{{Name: "x", Verdict: preflight.Warn, Sysctl: map[string]uint64{key: want}}}}
}

func TestFix(t *testing.T) {
	s := newHost(t)
	var out bytes.Buffer
	f := fixer{sysctls: s, out: &out, in: strings.NewReader("")}
	before := s.files(t)
	if err := f.fix(low(instances, 8192)); !errors.Is(err, errNotAgreed) {
		t.Errorf("without an agreement fix() = %v", err)
	}
	f.person = true
	for _, answer := range []string{"", "\n", "no\n", "n", "yessir\n"} {
		f.in = strings.NewReader(answer)
		if err := f.fix(low(instances, 8192)); !errors.Is(err, errDeclined) {
			t.Errorf("after the answer %q fix() = %v", answer, err)
		}
	}
	if diff := cmp.Diff(before, s.files(t)); diff != "" {
		t.Fatalf("without an agreement this changed:\n%s", diff)
	}
	if !strings.Contains(out.String(), s.path()) || !strings.Contains(out.String(), "    "+instances+" = 8192\n") {
		t.Errorf("what would be written is not shown: %s", &out)
	}
	f.in = strings.NewReader("y\n")
	if err := f.fix(low(instances, 8192)); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"/etc/sysctl.d/10-own.conf": instances + "=64", "/etc/sysctl.d/90-docker-sd.conf": sysctlHeader + "\n" + instances + " = 8192",
		"/proc/sys/fs/inotify/max_user_instances": "8192", "/proc/sys/kernel/keys/root_maxkeys": "200"}
	if diff := cmp.Diff(want, s.files(t)); diff != "" {
		t.Errorf("after the first fix (-want +got):\n%s", diff)
	}
	// A later run has another need; the first stays, and the same again changes nothing.
	f.yes = true
	for range 2 {
		if err := f.fix(low(keys, 2048)); err != nil {
			t.Fatal(err)
		}
		want["/etc/sysctl.d/90-docker-sd.conf"] = sysctlHeader + "\n" + instances + " = 8192\n" + keys + " = 2048"
		want["/proc/sys/kernel/keys/root_maxkeys"] = "2048"
		if diff := cmp.Diff(want, s.files(t)); diff != "" {
			t.Errorf("after another fix (-want +got):\n%s", diff)
		}
	}
	// A smaller need lowers nothing.
	if err := f.fix(low(keys, 1024)); err != nil {
		t.Fatal(err)
	}
	out.Reset()
	if err := f.fix(preflight.Report{}); err != nil || !strings.Contains(out.String(), "nothing that --fix could mend") {
		t.Errorf("with nothing to mend fix() = %v, %s", err, &out)
	}
	if diff := cmp.Diff(want, s.files(t)); diff != "" {
		t.Errorf("at the end (-want +got):\n%s", diff)
	}
}

// What is not docker-sd's stays as it is.
func TestFixTouchesNothingElse(t *testing.T) {
	for name, prepare := range map[string]func(t *testing.T, s sysctls){
		"a file of the administrator's": func(t *testing.T, s sysctls) { put(t, s.path(), keys+"=1\n") },
		"an empty file":                 func(t *testing.T, s sysctls) { put(t, s.path(), "") },
		"one that was changed":          func(t *testing.T, s sysctls) { put(t, s.path(), sysctlHeader+"\nkernel.core_pattern=core\n") },
		"a link": func(t *testing.T, s sysctls) {
			target := filepath.Join(s.root, "etc/target")
			put(t, target, sysctlHeader+"\n")
			if err := os.Symlink(target, s.path()); err != nil {
				t.Fatal(err)
			}
		},
		"no such parameter": func(t *testing.T, s sysctls) {
			if err := os.Remove(s.kernel(instances)); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newHost(t)
			prepare(t, s)
			before := s.files(t)
			f := fixer{sysctls: s, out: &bytes.Buffer{}, yes: true}
			if err := f.fix(low(instances, 8192)); err == nil {
				t.Error("fix() succeeded")
			}
			if diff := cmp.Diff(before, s.files(t)); diff != "" {
				t.Errorf("it changed:\n%s", diff)
			}
		})
	}
}

// A file that is read later and sets less is named.
func TestFixNamesWhatUndoesIt(t *testing.T) {
	s := newHost(t)
	put(t, filepath.Join(s.root, "etc/sysctl.d/99-late.conf"), "# later\n-fs/inotify/max_user_instances = 512\nkernel.core_pattern=core\n")
	put(t, filepath.Join(s.root, "etc/sysctl.conf"), instances+"=16384\n")
	c, err := s.plan(map[string]uint64{instances: 8192})
	if err != nil {
		t.Fatal(err)
	}
	if got := s.undone(c); len(got) != 1 || !strings.Contains(got[0], "99-late.conf sets "+instances+" to 512") {
		t.Errorf("undone() = %q", got)
	}
}
