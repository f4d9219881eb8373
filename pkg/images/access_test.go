package images_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/errdefs"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/images"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/keyring"
)

// privateRef is an image that the registry gives to one user only.
const privateRef = "registry.example/team/app:1"

// origin is the name that cannot mean another image.
var origin = "registry.example/team/app@sha256:" + strings.Repeat("d", 64)

func keysFor(user, password string) keyring.Keyring {
	return keyring.Of(map[string]v1.Secret{"s": {Type: v1.SecretTypeDockerConfigJson, Data: map[string][]byte{
		v1.DockerConfigJsonKey: fmt.Appendf(nil, `{"auths":{"registry.example":{"username":%q,"password":%q}}}`, user, password)}}})
}

func private(auth engine.Credentials) error {
	if auth.User == "owner" && auth.Password == "right" {
		return nil
	}
	return fmt.Errorf("no basic auth credentials: %w", errdefs.ErrPermissionDenied)
}

// access is a provider of a host with the files of a folder.
func accessOf(t *testing.T, h *host, dir string, policy images.Verification) *images.Provider {
	t.Helper()
	p := images.New(images.Config{Record: filepath.Join(dir, "images.json"), Access: filepath.Join(dir, "access.json"), Verification: policy}, h)
	t.Cleanup(p.Close)
	return p
}

// reasonOf is that of a PullError, "" for none.
func reasonOf(t *testing.T, err error) string {
	t.Helper()
	failure := &images.PullError{}
	if err != nil && !errors.As(err, &failure) {
		t.Fatalf("error %v is no PullError", err)
	}
	return failure.Reason
}

func TestAccess_PulledWithCredentials(t *testing.T) {
	h, dir := newHost(), t.TempDir()
	h.registry[privateRef] = engine.Image{ID: "sha256:p", Tags: []string{privateRef}, Digests: []string{origin}}
	h.confirm = private
	owner, stranger := keysFor("owner", "right"), keysFor("owner", "wrong")
	p := accessOf(t, h, dir, images.NeverVerifyPreloaded)
	if _, err := p.OnHost(t.Context(), images.Want{Ref: privateRef, Policy: v1.PullIfNotPresent, Keys: owner}); err != nil {
		t.Fatal(err)
	}
	for round, policy := range []images.Verification{images.NeverVerifyPreloaded, images.NeverVerifyPreloaded, images.AlwaysVerify, images.NeverVerify} {
		if round > 0 {
			p = accessOf(t, h, dir, policy) // after a restart
		}
		for _, c := range []struct {
			policy v1.PullPolicy
			keys   keyring.Keyring
			reason string
		}{
			{v1.PullIfNotPresent, owner, ""}, {v1.PullNever, owner, ""},
			{v1.PullIfNotPresent, nil, images.ReasonPull}, {v1.PullIfNotPresent, stranger, images.ReasonPull}, {v1.PullNever, nil, images.ReasonNever},
		} {
			want := c.reason
			if policy == images.NeverVerify {
				want = ""
			}
			h.asked = nil
			_, err := p.OnHost(t.Context(), images.Want{Ref: privateRef, Policy: c.policy, Keys: c.keys})
			if got := reasonOf(t, err); got != want {
				t.Errorf("%s: %s with %d secrets = %q (%v), want %q", policy, c.policy, len(c.keys), got, err, want)
			}
			if asked := strings.Join(h.asked, " "); want == images.ReasonPull && asked != origin || want != images.ReasonPull && asked != "" {
				t.Errorf("%s: %s: the registry was asked for %q", policy, c.policy, asked)
			}
			if err != nil && !strings.Contains(err.Error(), "kubernetes.io/dockerconfigjson") {
				t.Errorf("%v does not say what to do", err)
			}
		}
	}
	info, err := os.Stat(filepath.Join(dir, "access.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the record is %v, %v", info, err)
	}
	content, _ := os.ReadFile(filepath.Join(dir, "access.json"))
	for _, secret := range []string{"owner", "right"} {
		if strings.Contains(string(content), secret) {
			t.Errorf("the record has %q", secret)
		}
	}
}

func TestAccess_FreeImages(t *testing.T) {
	image := engine.Image{ID: "sha256:p", Tags: []string{privateRef}}
	none := images.Want{Ref: privateRef, Policy: v1.PullIfNotPresent}
	with := none
	with.Keys = keysFor("owner", "right")
	always := with
	always.Policy = v1.PullAlways
	for name, c := range map[string]struct {
		local   bool
		confirm func(engine.Credentials) error
		policy  images.Verification
		before  []images.Want
		reason  string
	}{
		"pulled without credentials":                {policy: images.NeverVerifyPreloaded, before: []images.Want{none}, confirm: private},
		"pulled without, always":                    {policy: images.AlwaysVerify, before: []images.Want{none}, confirm: private},
		"there before":                              {policy: images.NeverVerifyPreloaded, local: true, confirm: private},
		"there before, always":                      {policy: images.AlwaysVerify, local: true, confirm: private, reason: images.ReasonPull},
		"there before, pulled again with a secret":  {policy: images.NeverVerifyPreloaded, local: true, before: []images.Want{always}, confirm: private},
		"pulled with, the registry gives it to all": {policy: images.NeverVerifyPreloaded, before: []images.Want{with}},
		"pulled with":                               {policy: images.NeverVerifyPreloaded, before: []images.Want{with}, confirm: private, reason: images.ReasonPull},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost()
			h.registry[privateRef] = image
			h.confirm = c.confirm
			if c.local {
				h.local[privateRef] = image
			}
			p := accessOf(t, h, t.TempDir(), c.policy)
			for _, want := range c.before {
				if _, err := p.OnHost(t.Context(), want); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := p.OnHost(t.Context(), none); reasonOf(t, err) != c.reason {
				t.Errorf("a pod without a secret gets %v, want %q", err, c.reason)
			}
		})
	}
}

// TestAccess_CutOff: what came with a pull that was cut off is nobody's until its
// registry says whose it is.
func TestAccess_CutOff(t *testing.T) {
	h, dir := newHost(), t.TempDir()
	other := engine.Image{ID: "sha256:o", Tags: []string{"registry.example/team/app:0"}}
	h.local["registry.example/team/app:0"] = other
	h.pullErr = fmt.Errorf("the engine went away: %w", errdefs.ErrUnavailable)
	h.confirm = private
	want := images.Want{Ref: privateRef, Policy: v1.PullIfNotPresent, Keys: keysFor("owner", "right")}
	if _, err := accessOf(t, h, dir, images.NeverVerifyPreloaded).OnHost(t.Context(), want); err == nil {
		t.Fatal("the pull worked")
	}
	h.local[privateRef] = engine.Image{ID: "sha256:p", Tags: []string{privateRef}} // it came all the same
	p := accessOf(t, h, dir, images.NeverVerifyPreloaded)
	stranger := images.Want{Ref: privateRef, Policy: v1.PullIfNotPresent}
	if _, err := p.OnHost(t.Context(), stranger); reasonOf(t, err) != images.ReasonPull {
		t.Errorf("a pod without a secret gets %v", err)
	}
	if _, err := p.OnHost(t.Context(), images.Want{Ref: "registry.example/team/app:0", Policy: v1.PullIfNotPresent}); err != nil {
		t.Errorf("what was there before: %v", err)
	}
	if _, err := p.OnHost(t.Context(), want); err != nil {
		t.Errorf("its owner gets %v", err)
	}
}

// TestAccess_UnreadableRecord: where nothing is known, nothing is for all.
func TestAccess_UnreadableRecord(t *testing.T) {
	for name, content := range map[string]string{"cut": `{"salt":"AA`, "empty": "", "nothing": "{}"} {
		t.Run(name, func(t *testing.T) {
			h, dir := newHost(), t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "access.json"), []byte(content), 0o600); err != nil {
				t.Fatal(err)
			}
			h.local[privateRef] = engine.Image{ID: "sha256:p"}
			h.confirm = private
			for range 2 { // the second start reads what the first one has written
				p := accessOf(t, h, dir, images.NeverVerifyPreloaded)
				if _, err := p.OnHost(t.Context(), images.Want{Ref: privateRef, Policy: v1.PullIfNotPresent}); reasonOf(t, err) != images.ReasonPull {
					t.Errorf("a pod without a secret gets %v", err)
				}
				if _, err := p.OnHost(t.Context(), images.Want{Ref: privateRef, Policy: v1.PullIfNotPresent, Keys: keysFor("owner", "right")}); err != nil {
					t.Errorf("its owner gets %v", err)
				}
			}
		})
	}
}
