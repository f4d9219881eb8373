//go:build e2e

package e2e_test

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// copy runs cp and returns what it says and its exit code.
func (p *podRun) copy(from, to string) (string, int) {
	p.t.Helper()
	cmd := p.d.program(p.t, "cp", from, to)
	var said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); cmd.ProcessState == nil {
		p.t.Fatal(err)
	}
	return said.String(), cmd.ProcessState.ExitCode()
}

func (p *podRun) mustCopy(from, to string) string {
	p.t.Helper()
	said, code := p.copy(from, to)
	if code != 0 {
		p.t.Fatalf("cp %s %s ends with %d: %s", from, to, code, said)
	}
	return said
}

// TestCopy: files and folders go in and come out as they are, also those of volumes, and in
// the container they are its user's.
func TestCopy(t *testing.T) {
	t.Parallel()
	d := sharedDaemon(t)
	pod := newPod(shell("main", untilStopped), shell("done", "mkdir /results; echo 42 >/results/answer"))
	pod.Spec.Containers[0].SecurityContext = &v1.SecurityContext{RunAsUser: ptr(int64(1234)), RunAsGroup: ptr(int64(2345))}
	withVolume(pod, emptyDir(), "/vol")
	pod.Spec.Containers[0].VolumeMounts = append(pod.Spec.Containers[0].VolumeMounts, v1.VolumeMount{Name: "vol", MountPath: "/ro", ReadOnly: true})
	p := d.run(t, pod)
	p.waitFor("one container runs and the other has ended", func(s podStatus) bool {
		return s.Container("main").State.Running != nil && s.Container("done").State.Terminated != nil
	})
	here := t.TempDir()
	tree := filepath.Join(here, "tree")
	if err := errors.Join(os.MkdirAll(filepath.Join(tree, "sub/deep"), 0o755), os.WriteFile(filepath.Join(tree, "sub/program"), []byte("#!/bin/sh\necho ran\n"), 0o755),
		os.WriteFile(filepath.Join(tree, "sub/deep/text"), bytes.Repeat([]byte("0123456789\n"), 1<<20), 0o640), os.Symlink("deep/text", filepath.Join(tree, "sub/link"))); err != nil {
		t.Fatal(err)
	}
	main := p.pod.Namespace + "/" + p.pod.Name + ":main:"
	p.mustCopy(tree, main+"/vol")
	p.mustCopy(tree, main+"/vol/renamed")
	p.mustCopy(tree+"/.", main+"/tmp")
	p.mustCopy(filepath.Join(tree, "sub/program"), main+"/vol/one")
	for _, path := range []string{"/vol/tree", "/vol/renamed", "/tmp"} {
		got := p.inside("main", "cd "+path+"; sub/program; wc -c <sub/link; readlink sub/link; stat -c '%u %g %a' sub/program sub/deep/text")
		if want := "ran\n11534336\ndeep/text\n1234 2345 755\n1234 2345 640\n"; got != want {
			t.Errorf("in %s there is %q, want %q", path, got, want)
		}
	}
	if got := p.inside("main", "/vol/one; ls -d /tmp; stat -c '%u %a' /tmp"); got != "ran\n/tmp\n0 1777\n" {
		t.Errorf("the file and the folder that it went to are %q", got)
	}
	back := filepath.Join(here, "back")
	p.mustCopy(main+"/vol/tree", back)
	p.mustCopy(main+"/vol/tree", here+"/sub-less")
	for _, name := range []string{"sub/program", "sub/deep/text", "sub/link"} {
		before, err := os.ReadFile(filepath.Join(tree, name))
		after, again := os.ReadFile(filepath.Join(back, name))
		if err := errors.Join(err, again); err != nil || !bytes.Equal(before, after) {
			t.Errorf("%s came back with %d bytes of %d, %v", name, len(after), len(before), err)
		}
	}
	p.mustCopy(string(p.pod.UID)+":done:/results/answer", here)
	if text, err := os.ReadFile(filepath.Join(here, "answer")); err != nil || string(text) != "42\n" {
		t.Errorf("from a container that has ended came %q, %v", text, err)
	}
	for name, c := range map[string]struct{ from, to, want string }{
		"no such file":     {main + "/no/such", here, "has no /no/such"},
		"no such folder":   {tree, main + "/no/such/folder", "no /no/such"},
		"no file here":     {here + "/none", main + "/vol", "no such file"},
		"wrong container":  {p.pod.Name + ":mian:/vol", here, "did you mean main"},
		"neither is a pod": {here, here + "/x", "neither"},
		"a file as folder": {tree, main + "/vol/one", "cannot become a folder"},
		"a folder as file": {main + "/vol/tree", here + "/answer", "cannot become a folder"},
		"both are pods":    {main + "/a", main + "/b", "both"},
		"read-only mount":  {tree, main + "/ro", "read-only"},
	} {
		if said, code := p.copy(c.from, c.to); code != 1 || !strings.Contains(said, c.want) {
			t.Errorf("%s: exit code %d, %q, want 1 and %q", name, code, said, c.want)
		}
	}
}

// TestCopyFromHostilePod: what a pod has made of links changes nothing outside of the folder
// that is copied to. The same by a trusting tar is the control: it follows them.
func TestCopyFromHostilePod(t *testing.T) {
	t.Parallel()
	d := sharedDaemon(t)
	p := d.standing(t, nil)
	here := t.TempDir()
	secret, dst := filepath.Join(here, "secret"), filepath.Join(here, "dst")
	if err := errors.Join(os.WriteFile(secret, []byte("old"), 0o600), os.Mkdir(dst, 0o755)); err != nil {
		t.Fatal(err)
	}
	p.inside("main", "mkdir /evil && ln -s "+here+" /evil/away && ln -s .. /evil/up && ln -s /etc/passwd /evil/passwd && mknod /evil/pipe p && "+
		"echo '#!/bin/sh' >/evil/program && chmod 6755 /evil/program")
	said := p.mustCopy(p.pod.Name+":/evil", dst)
	for _, name := range []string{"away", "up", "passwd", "pipe"} {
		if _, err := os.Lstat(filepath.Join(dst, "evil", name)); err == nil || !strings.Contains(said, "evil/"+name) {
			t.Errorf("%s was copied, or its absence is not told: %s", name, said)
		}
	}
	if info, err := os.Stat(filepath.Join(dst, "evil/program")); err != nil || info.Mode() != 0o755 {
		t.Errorf("the program is %v, %v", info, err)
	}
	// The pod makes folders of its links, and the same names are copied again: an earlier
	// copy that had kept the links would be written through.
	p.inside("main", "rm /evil/away /evil/up && mkdir /evil/away /evil/up && echo new >/evil/away/secret && echo new >/evil/up/secret")
	if err := os.Symlink(here, filepath.Join(dst, "evil/away")); err != nil {
		t.Fatal(err)
	}
	if said, code := p.copy(p.pod.Name+":/evil", dst); code != 1 {
		t.Errorf("a folder took the place of a link of this host: %s", said)
	}
	if text, err := os.ReadFile(secret); err != nil || string(text) != "old" {
		t.Errorf("the file outside is %q, %v", text, err)
	}
	control := p.d.program(t, "exec", string(p.pod.UID), "--", "tar", "-C", "/evil", "-c", "away/secret")
	stream, err := control.Output()
	if err != nil {
		t.Fatal(err)
	}
	trusting := exec.CommandContext(t.Context(), "tar", "-C", filepath.Join(dst, "evil"), "--keep-directory-symlink", "--overwrite", "-x")
	trusting.Stdin = bytes.NewReader(stream)
	if out, err := trusting.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if text, err := os.ReadFile(secret); err != nil || string(text) != "new\n" {
		t.Errorf("a tar that follows links leaves the file outside as %q, %v, so the test shows nothing", text, err)
	}
}
