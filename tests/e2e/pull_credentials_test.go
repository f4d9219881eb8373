//go:build e2e

package e2e_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// registrySecret is a secret for a registry, with a password.
func registrySecret(address, password string) v1.Secret {
	auth := base64.StdEncoding.EncodeToString([]byte(registryUser + ":" + password))
	return v1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "registry"}, Type: v1.SecretTypeDockerConfigJson,
		Data: map[string][]byte{v1.DockerConfigJsonKey: fmt.Appendf(nil, `{"auths":{%q:{"auth":%q}}}`, address, auth)}}
}

// pulling creates a pod of an image, with secrets.
func (d *daemon) pulling(t *testing.T, ref string, policy v1.PullPolicy, secrets ...v1.Secret) *podRun {
	t.Helper()
	request := newCreate(newPod(from(ref, policy)))
	request.Container[0].Secrets = secrets
	return d.runRequest(t, request)
}

// runs checks that a pod ran.
func (p *podRun) runs() {
	p.t.Helper()
	if got := p.output(); got != "hello\n" {
		p.t.Errorf("log = %q", got)
	}
}

// waits checks that a pod's container waits for its image, with a reason and words.
func (p *podRun) waits(reason string, words ...string) {
	p.t.Helper()
	seen := p.waitFor(reason, func(s podStatus) bool { return waitingReason(s, "c") == reason })
	for _, want := range words {
		if message := seen.Container("c").State.Waiting.Message; !strings.Contains(message, want) {
			p.t.Errorf("message = %q, it lacks %q", message, want)
		}
	}
}

// TestImageCredentials: an image that came with one pod's credentials is for pods
// that have them, too, or that its registry lets pull it.
func TestImageCredentials(t *testing.T) {
	t.Parallel()
	for _, sharing := range []string{"auto", "copy"} {
		t.Run(sharing, func(t *testing.T) {
			locked, open := newFront(t, true), newFront(t, false)
			private, public := locked.publish(t, "private", 1<<10), open.publish(t, "public", 1<<10)
			secret, wrong := registrySecret(locked.address, registryPassword), registrySecret(locked.address, "guessed")
			d := ownDaemon(t, 1, map[string]any{"ImageSharing": sharing})
			again := func(policy string) {
				t.Helper()
				d.settings["ImagePullCredentialsVerificationPolicy"] = policy
				if err := d.writeConfig(); err != nil {
					t.Fatal(err)
				}
				if err := d.kill(); err != nil {
					t.Fatal(err)
				}
				if err := d.start(); err != nil {
					t.Fatal(err)
				}
			}
			d.pulling(t, private.ref, v1.PullIfNotPresent, secret).runs()
			refused := func(t *testing.T) {
				t.Helper()
				hint := "Secret of type kubernetes.io/dockerconfigjson"
				d.pulling(t, private.ref, v1.PullIfNotPresent).waits("ErrImagePull", private.ref, "is on this host", hint, "no basic auth credentials")
				d.pulling(t, private.ref, v1.PullIfNotPresent).waits("ImagePullBackOff", hint)
				d.pulling(t, private.ref, v1.PullNever).waits("ErrImageNeverPull", private.ref, "is on this host", hint)
				d.pulling(t, private.ref, v1.PullIfNotPresent, wrong).waits("ErrImagePull", "is on this host", "unauthorized")
				bare := strings.TrimSuffix(private.ref, ":1")
				d.pulling(t, bare+"@"+private.digest, v1.PullIfNotPresent).waits("ErrImagePull", "is on this host")
			}
			refused(t)
			if sharing == "copy" { // the rest does not depend on it
				again("NeverVerify")
				d.pulling(t, private.ref, v1.PullIfNotPresent).runs()
				return
			}
			// Another name on the host does not open it.
			suite.engine.post(t, "/images/"+private.ref+"/tag?repo="+url.QueryEscape(open.address+"/renamed")+"&tag=1", nil, nil)
			t.Cleanup(func() { suite.engine.removeImage(t, open.address+"/renamed:1") })
			d.pulling(t, open.address+"/renamed:1", v1.PullIfNotPresent).waits("ErrImagePull", "is on this host")

			again("NeverVerifyPreloadedImages")
			refused(t)
			locked.spoilWith(func(w http.ResponseWriter, _ *http.Request) bool {
				w.WriteHeader(http.StatusServiceUnavailable)
				return true
			})
			for _, policy := range []v1.PullPolicy{v1.PullIfNotPresent, v1.PullNever, v1.PullAlways} {
				d.pulling(t, private.ref, policy, secret).runs()
			}
			d.pulling(t, private.ref, v1.PullAlways).waits("ErrImagePull", "is on this host", "does not answer")
			locked.spoilWith(nil)

			// A registry that gives an image to all confirms that.
			d.pulling(t, public.ref, v1.PullIfNotPresent, registrySecret(open.address, registryPassword)).runs()
			open.forget()
			d.pulling(t, public.ref, v1.PullNever).waits("ErrImageNeverPull")
			d.pulling(t, public.ref, v1.PullIfNotPresent).runs()
			// Of blobs the engine reads the configuration, no layer.
			if open.count("", "/manifests/") == 0 || open.count("GET", "/blobs/") > 1 {
				t.Errorf("the registry was asked for %d manifests and %d blobs", open.count("", "/manifests/"), open.count("GET", "/blobs/"))
			}
			d.pulling(t, public.ref, v1.PullNever).runs()

			preloaded := open.address + "/preloaded:1"
			buildSmall(t, preloaded, 1<<10)
			t.Cleanup(func() { suite.engine.removeImage(t, preloaded) })
			d.pulling(t, preloaded, v1.PullIfNotPresent).runs()
			again("AlwaysVerify")
			d.pulling(t, preloaded, v1.PullIfNotPresent).waits("ErrImagePull", "is on this host")
			d.pulling(t, private.ref, v1.PullIfNotPresent, secret).runs()

			again("NeverVerify")
			d.pulling(t, private.ref, v1.PullIfNotPresent).runs()
			d.pulling(t, private.ref, v1.PullNever).runs()

			record := filepath.Join(d.data(), "image-access.json")
			content, err := os.ReadFile(record)
			info, statErr := os.Stat(record)
			if err != nil || statErr != nil || info.Mode().Perm() != 0o600 {
				t.Errorf("the record: %v, %v", err, statErr)
			}
			for _, text := range []string{registryUser, registryPassword, base64.StdEncoding.EncodeToString([]byte(registryUser + ":" + registryPassword))} {
				if strings.Contains(string(content), `"`+text) || strings.Contains(d.log.String(), text+`"`) && text != registryUser {
					t.Errorf("the record or the log has %q", text)
				}
			}
		})
	}
}

// TestSandboxHasAnotherPodsImage: a warm sandbox shares what the host has, and so an
// image that only another pod may use, though it has lost its name on the host.
func TestSandboxHasAnotherPodsImage(t *testing.T) {
	t.Parallel()
	for policy, open := range map[string]bool{"NeverVerifyPreloadedImages": false, "NeverVerify": true} {
		t.Run(policy, func(t *testing.T) {
			f := newFront(t, true)
			image := f.publish(t, "private", 1<<10)
			d := ownDaemon(t, 1, map[string]any{"ImageSharing": "shared", "ImagePullCredentialsVerificationPolicy": policy})
			c := shell("c", untilStopped)
			c.Image = image.ref
			request := newCreate(newPod(c))
			request.Container[0].Secrets = []v1.Secret{registrySecret(f.address, registryPassword)}
			first := d.runRequest(t, request)
			first.waitRunning()
			d.waitWarmSince(t, time.Now())
			// The name goes; the layers stay for the first pod.
			if err := suite.engine.call(t.Context(), http.MethodDelete, "/images/"+image.ref+"?force=1", nil); err != nil {
				t.Fatal(err)
			}
			p := d.pulling(t, image.ref, v1.PullIfNotPresent)
			if !open {
				p.waits("ErrImagePull", "no basic auth credentials")
				p.waits("ImagePullBackOff")
				return
			}
			p.runs()
		})
	}
}
