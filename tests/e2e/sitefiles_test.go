//go:build e2e

package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/uuid"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/hostfiles"
	"github.com/intertwin-eu/interlink-docker-plugin/tests/certificates"
)

// trustProgram serves with two certificates on loopback and says which of them it trusts
// itself, as programs do that look for the authorities of their system.
const trustProgram = `package main

import (
	"crypto/tls"
	"fmt"
	"os"
	"time"
)

func main() {
	for _, name := range []string{"SITE", "OWN"} {
		pair, err := tls.X509KeyPair([]byte(os.Getenv(name+"_CERT")), []byte(os.Getenv(name+"_KEY")))
		if err != nil {
			panic(err)
		}
		listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
		if err != nil {
			panic(err)
		}
		go func() {
			if conn, err := listener.Accept(); err == nil {
				_ = conn.(*tls.Conn).Handshake()
			}
		}()
		_, err = tls.Dial("tcp", listener.Addr().String(), &tls.Config{ServerName: "localhost"})
		fmt.Println(name, err == nil)
	}
	fmt.Println(time.Unix(0, 0).Format("15:04 MST"))
}
`

// trustImages are images with trustProgram: with an authority of their own where Debian and
// where RHEL have theirs, and without.
func trustImages(t *testing.T, authority string) (debian, rhel, none string) {
	t.Helper()
	dir := t.TempDir()
	source, program := filepath.Join(dir, "main.go"), filepath.Join(dir, "trust")
	if err := os.WriteFile(source, []byte(trustProgram), 0o600); err != nil {
		t.Fatal(err)
	}
	build := exec.Command("go", "build", "-o", program, source)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	binary, err := os.ReadFile(program)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, lines := range []string{
		"COPY own.pem /etc/ssl/certs/ca-certificates.crt\n",
		"COPY own.pem /etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem\nRUN mkdir -p /etc/pki/tls/certs && ln -s ../../ca-trust/extracted/pem/tls-ca-bundle.pem /etc/pki/tls/certs/ca-bundle.crt\n",
		"",
	} {
		ref := "docker-sd-test/trust:" + uuid.NewString()[:8]
		buildFrom(t, ref, map[string][]byte{"trust": binary, "own.pem": []byte(strings.TrimSpace(authority)),
			"Dockerfile": []byte("FROM " + suite.images.busybox + "\nCOPY trust /trust\nRUN chmod 755 /trust\n" + lines)})
		t.Cleanup(func() { suite.engine.removeImage(t, ref) })
		out = append(out, ref)
	}
	return out[0], out[1], out[2]
}

// TestSiteFiles: containers trust the site's authorities beside those of their image, in every
// image, and have its time zone; what the pod says itself wins. Without the keys they do not.
func TestSiteFiles(t *testing.T) {
	t.Parallel()
	site, own := certificates.New(t, "site", nil), certificates.New(t, "own", nil)
	bySite, byOwn := certificates.New(t, "localhost", site), certificates.New(t, "localhost", own)
	debian, rhel, none := trustImages(t, own.PEM())
	file := filepath.Join(t.TempDir(), "site.pem")
	if err := os.WriteFile(file, []byte("# the site's\n"+site.KeyPEM(t)+site.PEM()), 0o600); err != nil {
		t.Fatal(err)
	}
	with := ownDaemon(t, 2, map[string]any{"PodDefaults": map[string]any{"timeZone": "Europe/Berlin", "caCertificates": file}})
	without := ownDaemon(t, 1, nil)
	pod := func(image, script string, edit func(*v1.Pod, *v1.Container)) *v1.Pod {
		p := newPod(shell("c", script))
		c := &p.Spec.Containers[0]
		c.Image, c.ImagePullPolicy = image, v1.PullNever
		c.Env = []v1.EnvVar{{Name: "SITE_CERT", Value: bySite.PEM()}, {Name: "SITE_KEY", Value: bySite.KeyPEM(t)},
			{Name: "OWN_CERT", Value: byOwn.PEM()}, {Name: "OWN_KEY", Value: byOwn.KeyPEM(t)}}
		if edit != nil {
			edit(p, c)
		}
		return p
	}
	confined := func(p *v1.Pod, c *v1.Container) {
		yes, user := true, int64(12345)
		c.SecurityContext = &v1.SecurityContext{ReadOnlyRootFilesystem: &yes, RunAsUser: &user}
	}
	told := func(p *v1.Pod, c *v1.Container) {
		c.Env = append(c.Env, v1.EnvVar{Name: "TZ", Value: "UTC"}, v1.EnvVar{Name: "SSL_CERT_FILE", Value: "/mine"}, v1.EnvVar{Name: "NODE_EXTRA_CA_CERTS", Value: "/mine"})
	}
	over := func(p *v1.Pod, c *v1.Container) {
		p.Spec.Volumes = []v1.Volume{{Name: "v", VolumeSource: v1.VolumeSource{EmptyDir: &v1.EmptyDirVolumeSource{}}}}
		c.VolumeMounts = []v1.VolumeMount{{Name: "v", MountPath: "/etc/ssl/certs"}}
	}
	const unset = "unset SSL_CERT_FILE; "
	for _, c := range []struct {
		name, want string
		d          *daemon
		pod        *v1.Pod
	}{
		{"Debian", "SITE true\nOWN true\n01:00 CET\n", with, pod(debian, "/trust", nil)},
		{"Debian by the file alone", "SITE true\nOWN true\n01:00 CET\n", with, pod(debian, unset+"/trust", nil)},
		{"RHEL", "SITE true\nOWN true\n01:00 CET\n", with, pod(rhel, "/trust", nil)},
		{"RHEL by the file alone", "SITE true\nOWN true\n01:00 CET\n", with, pod(rhel, unset+"/trust", nil)},
		{"no authorities", "SITE true\nOWN false\n01:00 CET\n", with, pod(none, "/trust", nil)},
		{"confined", "SITE true\nOWN true\n01:00 CET\n", with, pod(debian, "/trust", confined)},
		{"a C library", "01:00 CET 12:00\n", with, pod(none, "date -d @0 '+%H:%M %Z' | tr '\\n' ' '; TZ=UTC date -d @43200 +%H:%M", nil)},
		{"its own", "UTC /mine /mine /etc/docker-sd/ca-certificates.crt\n", with, pod(debian, "echo $TZ $SSL_CERT_FILE $NODE_EXTRA_CA_CERTS $REQUESTS_CA_BUNDLE", told)},
		{"a volume of its own", "SITE true\nOWN true\n01:00 CET\n0\n", with, pod(debian, "/trust; ls -A /etc/ssl/certs | wc -l", over)},
		{"for Node and Python", site.PEM() + own.PEM() + site.PEM(), with, pod(debian, "cat $NODE_EXTRA_CA_CERTS $REQUESTS_CA_BUNDLE", nil)},
		{"not for an image without authorities", "-\n", with, pod(none, "echo $SSL_CERT_FILE$REQUESTS_CA_BUNDLE-", nil)},
		{"without the keys", "SITE false\nOWN true\n00:00 UTC\n\n", without, pod(debian, "/trust; echo $TZ$SSL_CERT_FILE$NODE_EXTRA_CA_CERTS", nil)},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := c.d.run(t, c.pod)
			if got := p.output(); got != c.want {
				t.Errorf("the container printed %q, want %q", got, c.want)
			}
			p.delete(0)
		})
	}
}

// TestSiteFiles_OfTheHost: docker-sd takes the host's own zone, and does not start with files
// that it cannot use.
func TestSiteFiles_OfTheHost(t *testing.T) {
	t.Parallel()
	zone, err := hostfiles.ReadZone(os.DirFS("/"), hostfiles.OwnZone)
	if err != nil {
		t.Fatal(err)
	}
	d := ownDaemon(t, 1, map[string]any{"PodDefaults": map[string]any{"timeZone": "host"}})
	if got := d.run(t, newPod(shell("c", "echo $TZ; cat /usr/share/zoneinfo/$TZ"))).output(); got != zone.Name+"\n"+string(zone.Data) {
		t.Errorf("the container has the zone %.60q, want %s", got, zone.Name)
	}
	for name, defaults := range map[string]map[string]any{
		"install tzdata":             {"timeZone": "Europe/Atlantis"},
		"PodDefaults.caCertificates": {"caCertificates": "/var/lib/none.pem"},
	} {
		if err := d.stop(); err != nil && d.Running() {
			t.Fatal(err)
		}
		d.settings["PodDefaults"] = defaults
		if err := d.writeConfig(); err != nil {
			t.Fatal(err)
		}
		if _, errs, code := d.command(t); code == 0 || !strings.Contains(errs, name) {
			t.Errorf("with %v docker-sd ended with %d: %s", defaults, code, errs)
		}
	}
}
