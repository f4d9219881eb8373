//go:build e2e

package e2e_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/intertwin-eu/interlink-docker-plugin/tests/kit"
)

// standIns take the place of programs that change the machine. They write down how they were
// called. tests/vm runs the script with the real ones.
var standIns = map[string]string{
	"apt-get":   `echo "apt-get $*" >>"$CALLS"`,
	"systemctl": `echo "systemctl $*" >>"$CALLS"`,
	"hostname":  `case "$*" in -I) echo 127.0.0.1 192.0.2.9;; "") echo fresh-machine;; esac`,
}

// runScript runs the lines of docs/install.md with a folder in the place of /etc/interlink,
// and returns that.
func runScript(t *testing.T, dir string) (etc string) {
	t.Helper()
	read := func(path string) string {
		t.Helper()
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	write := func(path, text string, mode os.FileMode) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	script, err := kit.Script(read("../../docs/install.md"))
	if err != nil {
		t.Fatal(err)
	}
	etc, calls := filepath.Join(dir, "etc"), filepath.Join(dir, "calls")
	write(filepath.Join(etc, "docker-sd.yaml"), read("../../docker/package/docker-sd.yaml"), 0o640)
	write(filepath.Join(dir, "work/docker-sd_1.0_amd64.deb"), "", 0o644)
	for name, text := range standIns {
		write(filepath.Join(dir, "bin", name), "#!/bin/sh\n"+text+"\n", 0o755)
	}
	cmd := exec.CommandContext(t.Context(), "sh", "-eu", "-c", strings.ReplaceAll(script, "/etc/interlink", etc))
	cmd.Dir = filepath.Join(dir, "work")
	cmd.Env = append(os.Environ(), "PATH="+filepath.Join(dir, "bin")+":"+os.Getenv("PATH"), "CALLS="+calls)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("the script: %v\n%s", err, out)
	}
	const want = "apt-get install -y openssl ./docker-sd_1.0_amd64.deb\nsystemctl enable --now docker-sd\n"
	if called := read(calls); called != want {
		t.Errorf("the script has called %q, want %q", called, want)
	}
	return etc
}

// configuredBy takes the keys of InterlinkAPI that the script has written.
func configuredBy(t *testing.T, etc string) map[string]any {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(etc, "docker-sd.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var made struct {
		Socket       string
		InterlinkAPI map[string]any
	}
	if err := yaml.Unmarshal(text, &made); err != nil {
		t.Fatal(err)
	}
	if made.Socket != "unix:///run/docker-sd/plugin.sock" || made.InterlinkAPI["Address"] != "0.0.0.0:3000" {
		t.Errorf("the script configures %+v", made)
	}
	made.InterlinkAPI["Address"] = "127.0.0.1:0" // other tests have ports, too
	return made.InterlinkAPI
}

// TestInstallScript: docker-sd starts with the keys and the certificates that the lines of
// docs/install.md make, and a Virtual Kubelet with those for it is answered.
func TestInstallScript(t *testing.T) {
	t.Parallel()
	d := prepareDaemon(t, map[string]any{"AVAILABLEDINDS": 0})
	etc := runScript(t, d.dir)
	d.settings["InterlinkAPI"] = configuredBy(t, etc)
	if err := d.writeConfig(); err != nil {
		t.Fatal(err)
	}
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	file := func(name string) string { return filepath.Join(etc, "tls", name) }
	pair := func(name string) []tls.Certificate {
		got, err := tls.LoadX509KeyPair(file(name+".crt"), file(name+".key"))
		if err != nil {
			t.Fatal(err)
		}
		if info, err := os.Stat(file(name + ".key")); err != nil || info.Mode() != 0o600 {
			t.Errorf("the key of %s has mode %v, %v", name, info.Mode(), err)
		}
		return []tls.Certificate{got}
	}
	authority, err := os.ReadFile(file("ca.crt"))
	if err != nil {
		t.Fatal(err)
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(authority)
	var address []string
	eventually(t, runLimit, "the log says where Virtual Kubelets are answered", func() bool {
		address = kubeletAddress.FindStringSubmatch(d.log.String())
		return address != nil
	}, func() string { return d.log.Tail(20) })
	kubelet := kit.VirtualKubelet{Base: "https://" + address[1], TLS: &tls.Config{RootCAs: trusted, Certificates: pair("virtual-kubelet")}}
	for name, c := range map[string]struct {
		shown []tls.Certificate
		want  bool
	}{"no certificate": {nil, false}, "the server's certificate": {pair("docker-sd"), false}, "its certificate": {pair("virtual-kubelet"), true}} {
		k := kubelet
		k.TLS = kubelet.TLS.Clone()
		k.TLS.Certificates = c.shown
		if code, _, err := k.Call(t.Context(), http.MethodPost, "/pinglink", nil); (err == nil && code == http.StatusOK) != c.want {
			t.Errorf("a caller with %s: %d, %v", name, code, err)
		}
	}
	pod := newPod(shell("c", "echo by the script"))
	code, answer, err := kubelet.Call(t.Context(), http.MethodPost, "/create", encode(t, kit.PodCreate{Pod: pod}))
	if err != nil {
		t.Fatal(err)
	}
	p := d.created(t, pod, code, answer)
	p.waitPhase(v1.PodSucceeded)
	if code, text, err := kubelet.Call(t.Context(), http.MethodGet, "/getLogs", logBody(t, pod, "c", logOptions{})); code != 200 || text != "by the script\n" || err != nil {
		t.Errorf("its log is answered %d %q, %v", code, text, err)
	}
}
