//go:build e2e

package e2e_test

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/tests/certificates"
)

// without has a registry say that it has no image of a name.
func without(name string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, name) {
			return false
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}`))
		return true
	}
}

// blobs that were fetched of an image, each once. A question for its digest fetches one, the
// configuration.
func (f *front) blobs(image published) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := 0
	for request := range f.seen {
		if strings.HasPrefix(request, "GET ") && strings.Contains(request, image.name+"/blobs/") {
			n++
		}
	}
	return n
}

// mirrorsFailed are the details of the events that a daemon has of mirrors.
func (d *daemon) mirrorsFailed(t *testing.T) []string {
	t.Helper()
	list, err := d.operator(t).Events(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range slices.Backward(list.Events) {
		if e.What == "mirror failed" {
			out = append(out, e.Detail)
		}
	}
	return out
}

// TestMirror: the host's images come from the mirror of their registry, under the
// registry's name, for as long as it has them; afterwards ImageGC removes all of them.
func TestMirror(t *testing.T) {
	t.Parallel()
	f, m := newFront(t, false), newFront(t, false)
	d := ownDaemon(t, 1, map[string]any{"Registries": []map[string]any{{"name": f.address, "mirrors": []string{"http://" + m.address}}},
		"ImageMaximumGCAge": "2s", "ImageMinimumGCAge": "0s", "ImageGCHighThresholdPercent": 100})
	tagged, exact, elsewhere := f.publish(t, "tagged", 1<<20), f.publish(t, "exact", 1<<10), f.publish(t, "elsewhere", 1<<10)
	refs := map[string]string{"tagged": tagged.ref, "exact": f.address + "/" + exact.name + "@" + exact.digest, "elsewhere": elsewhere.ref}
	mirrored := func(image published) string { return m.address + "/" + image.name + "@" + image.digest }
	for _, image := range []published{tagged, exact, elsewhere} {
		t.Cleanup(func() { suite.engine.removeImage(t, mirrored(image)) })
	}
	m.spoilWith(without(elsewhere.name))
	for _, c := range []struct {
		name   string
		image  published
		policy v1.PullPolicy
		// asked says that the mirror is asked, fetched that a layer comes from it, origin
		// that one comes from the registry itself.
		asked, fetched, origin bool
	}{
		{"tagged", tagged, v1.PullIfNotPresent, true, true, false},
		{"tagged", tagged, v1.PullAlways, true, false, false},
		{"tagged", tagged, v1.PullNever, false, false, false},
		{"exact", exact, v1.PullIfNotPresent, true, true, false},
		{"exact", exact, v1.PullNever, false, false, false},
		{"elsewhere", elsewhere, v1.PullIfNotPresent, true, false, true},
	} {
		t.Run(c.name+" "+string(c.policy), func(t *testing.T) {
			f.forget()
			m.forget()
			stays := from(refs[c.name], c.policy)
			p := d.run(t, newPod(stays))
			if got := p.output(); got != "hello\n" {
				t.Errorf("log = %q", got)
			}
			if id, want := p.status().Container("c").ImageID, "docker-pullable://"+f.address+"/"+c.image.name+"@"+c.image.digest; id != want {
				t.Errorf("imageID = %q, want %q", id, want)
			}
			if asked, fetched := m.count("", c.image.name) > 0, m.blobs(c.image) > 1; asked != c.asked || fetched != c.fetched {
				t.Errorf("the mirror was asked %t, and gave layers %t; want %t and %t", asked, fetched, c.asked, c.fetched)
			}
			if origin := f.blobs(c.image) > 0; origin != c.origin {
				t.Errorf("the registry itself gave layers: %t", origin)
			}
			p.delete(0)
		})
	}
	if got, want := d.mirrorsFailed(t), []string{"image " + elsewhere.ref + ", mirror " + m.address + ", because it does not have the image"}; !slices.Equal(got, want) {
		t.Errorf("events %q, want %q", got, want)
	}
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	d.settings["ImageGC"] = "enabled"
	if err := d.writeConfig(); err != nil {
		t.Fatal(err)
	}
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	for _, name := range append(refsOf(refs), mirrored(tagged), mirrored(exact)) {
		// An engine may answer with an error while a name goes.
		eventually(t, runLimit, name+" is removed", func() bool {
			return errors.Is(suite.engine.call(t.Context(), http.MethodGet, "/images/"+name+"/json", nil), errNotThere)
		}, func() string { return d.log.Tail(20) })
	}
}

func refsOf(refs map[string]string) []string {
	var out []string
	for _, ref := range refs {
		out = append(out, ref)
	}
	return out
}

// TestMirror_Down: a mirror that does not answer costs one event, and no pod its image.
func TestMirror_Down(t *testing.T) {
	t.Parallel()
	f, m := newFront(t, false), newFront(t, false)
	m.server.CloseClientConnections()
	m.server.Close()
	d := ownDaemon(t, 1, map[string]any{"Registries": []map[string]any{{"name": f.address, "mirrors": []string{m.address}}}})
	for range 2 {
		image := f.publish(t, "down", 1<<10)
		p := d.run(t, newPod(from(image.ref, v1.PullIfNotPresent)))
		if got := p.output(); got != "hello\n" {
			t.Errorf("log = %q", got)
		}
		p.delete(0)
	}
	if got := d.mirrorsFailed(t); len(got) != 1 || !strings.Contains(got[0], "did not answer") {
		t.Errorf("events %q", got)
	}
}

// TestMirror_Credentials: a mirror sees none of a pod and none for the registry, and what it has
// not comes from the registry with them.
func TestMirror_Credentials(t *testing.T) {
	t.Parallel()
	f, m := newFront(t, true), newFront(t, false)
	image := f.publish(t, "secret", 1<<10)
	var shown, atRegistry atomic.Int32
	count := func(to *atomic.Int32) func(http.ResponseWriter, *http.Request) bool {
		return func(_ http.ResponseWriter, r *http.Request) bool {
			if r.Header.Get("Authorization") != "" {
				to.Add(1)
			}
			return false
		}
	}
	f.spoilWith(count(&atRegistry))
	mine := m.publish(t, "mine", 1<<10)
	m.spoilWith(func(w http.ResponseWriter, r *http.Request) bool {
		count(&shown)(w, r)
		if r.Header.Get("Authorization") == "" { // as a registry that would like to know them
			w.Header().Set("WWW-Authenticate", `Basic realm="mirror"`)
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}
		return false
	})
	folder := t.TempDir()
	own := registrySecret(f.address, registryPassword).Data[v1.DockerConfigJsonKey]
	if err := os.WriteFile(filepath.Join(folder, "config.json"), own, 0o600); err != nil {
		t.Fatal(err)
	}
	d := ownDaemon(t, 1, map[string]any{"Registries": []map[string]any{{"name": f.address, "mirrors": []string{m.address}}}, "DOCKER_CONFIG": folder})
	d.pulling(t, image.ref, v1.PullIfNotPresent, registrySecret(f.address, registryPassword)).runs()
	if m.count("", "/v2/") == 0 || shown.Load() > 0 {
		t.Errorf("the mirror was asked %d times, %d times with credentials", m.count("", "/v2/"), shown.Load())
	}
	if atRegistry.Load() == 0 {
		t.Error("the registry was asked without credentials")
	}
	if got := d.mirrorsFailed(t); len(got) != 1 || !strings.HasSuffix(got[0], "because it wants other credentials") {
		t.Errorf("events %q", got)
	}
	// The same mirror, with credentials for itself.
	own = registrySecret(m.address, registryPassword).Data[v1.DockerConfigJsonKey]
	if err := os.WriteFile(filepath.Join(folder, "config.json"), own, 0o600); err != nil {
		t.Fatal(err)
	}
	f.forget()
	shown.Store(0)
	d.pulling(t, f.address+"/"+mine.name+":1", v1.PullIfNotPresent).runs()
	t.Cleanup(func() {
		suite.engine.removeImage(t, f.address+"/"+mine.name+":1", m.address+"/"+mine.name+"@"+mine.digest)
	})
	if shown.Load() == 0 || f.count("", mine.name) > 0 {
		t.Errorf("the mirror saw its credentials %d times, and the registry was asked %d times", shown.Load(), f.count("", mine.name))
	}
}

// Addresses of registries in sandboxes. An engine trusts those of the loopback range anyway.
const (
	plainAddress = "192.0.2.11:5000"
	tlsAddress   = "192.0.2.10:5000"
)

// serveFar has the registry in a container's network without TLS, and with a certificate.
func (f *front) serveFar(t *testing.T, container string, certificate *tls.Config) {
	t.Helper()
	var seen struct{ State struct{ Pid int } }
	if err := suite.engine.call(t.Context(), http.MethodGet, "/containers/"+container+"/json", &seen); err != nil {
		t.Fatal(err)
	}
	namespace := fmt.Sprintf("/proc/%d/ns/net", seen.State.Pid)
	for _, address := range []string{plainAddress, tlsAddress} {
		host, _, _ := strings.Cut(address, ":")
		if out, err := exec.Command("nsenter", "--net="+namespace, "busybox", "ip", "addr", "add", host+"/32", "dev", "lo").CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		listener, err := listenIn(namespace, address)
		if err != nil {
			t.Fatal(err)
		}
		if address == tlsAddress {
			listener = tls.NewListener(listener, certificate)
		}
		server := &http.Server{Handler: f.server.Config.Handler}
		ended := make(chan error, 1)
		go func() { ended <- server.Serve(listener) }()
		t.Cleanup(func() {
			_ = server.Close()
			<-ended
		})
	}
}

// TestSandboxPulls_Registries: the engine of a sandbox pulls from a registry without TLS, from
// one with an authority of its own, and from a mirror of Docker Hub, where Registries says so.
func TestSandboxPulls_Registries(t *testing.T) {
	t.Parallel()
	authority := certificates.New(t, "authority", nil)
	server := certificates.New(t, "registry", authority, net.ParseIP("192.0.2.10"))
	certificate := &tls.Config{Certificates: []tls.Certificate{server.Pair()}}
	file := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(file, []byte(authority.PEM()), 0o644); err != nil {
		t.Fatal(err)
	}
	f := newFront(t, false)
	image := f.publish(t, "library/far", 1<<10)
	_, short, _ := strings.Cut(image.name, "/")
	refs := []string{plainAddress + "/" + image.name + ":1", tlsAddress + "/" + image.name + ":1", short + ":1"}
	listed := []map[string]any{{"name": "docker.io", "mirrors": []string{"https://" + tlsAddress}},
		{"name": plainAddress, "insecure": true}, {"name": tlsAddress, "caFile": file}}
	for _, c := range []struct {
		name       string
		registries []map[string]any
		refused    []string
	}{
		{"listed", listed, nil},
		{"not listed", []map[string]any{}, []string{"HTTP response to HTTPS client", "x509", "lookup"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := ownDaemon(t, 1, map[string]any{"ImageSharing": "pull", "StandbySandboxes": 0, "Registries": c.registries})
			for i, ref := range refs {
				if c.refused != nil && i == 2 {
					continue // Docker Hub itself would be asked
				}
				for id := range d.waitWarm(t, 1) {
					f.serveFar(t, id, certificate)
				}
				p := d.run(t, newPod(from(ref, v1.PullIfNotPresent)))
				if c.refused == nil {
					if got := p.output(); got != "hello\n" {
						t.Errorf("%s: log = %q", ref, got)
					}
					name := strings.TrimSuffix(ref, ":1")
					if id := p.status().Container("c").ImageID; id != "docker-pullable://"+name+"@"+image.digest {
						t.Errorf("imageID = %q of %s", id, ref)
					}
				} else {
					seen := p.waitFor("ErrImagePull", func(s podStatus) bool { return waitingReason(s, "c") == "ErrImagePull" })
					if message := seen.Container("c").State.Waiting.Message; !strings.Contains(message, c.refused[i]) || !strings.Contains(message, "Registries") {
						t.Errorf("%s: message = %q", ref, message)
					}
				}
				p.delete(0)
				p.waitGone()
			}
		})
	}
}
