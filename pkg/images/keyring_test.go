package images_test

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/errdefs"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/images"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/keyring"
)

// auths is a configuration with an entry for each key, whose user is named as told.
func auths(t *testing.T, users map[string]string) string {
	t.Helper()
	entries := map[string]map[string]string{}
	for key, user := range users {
		entries[key] = map[string]string{"auth": base64.StdEncoding.EncodeToString([]byte(user + ":secret"))}
	}
	return marshalled(t, map[string]any{"auths": entries})
}

func marshalled(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// keysOf are the keys of secrets, by name.
func keysOf(secrets map[string]string) keyring.Keyring {
	all := map[string]v1.Secret{}
	for name, config := range secrets {
		all[name] = v1.Secret{Type: v1.SecretTypeDockerConfigJson, Data: map[string][]byte{v1.DockerConfigJsonKey: []byte(config)}}
	}
	return keyring.Of(all)
}

// dockerConfig is a folder with Docker's configuration file.
func dockerConfig(t *testing.T, config string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// refusing is a host whose registries refuse all users but one.
type refusing struct {
	*host
	accepted string
	// with is the error of a refusal.
	with error
}

func (r *refusing) Pull(ctx context.Context, ref string, auth engine.Credentials, report func(engine.PullProgress)) error {
	if auth.User == r.accepted {
		return r.host.Pull(ctx, ref, auth, report)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pulls = append(r.pulls, auth)
	return r.with
}

func (r *refusing) users() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, auth := range r.pulls {
		out = append(out, auth.User)
	}
	return strings.Join(out, " ")
}

// TestCredentials_Keys: the forms of keys that Docker and kubelet take, in Docker's
// own file as in a pod's secret.
func TestCredentials_Keys(t *testing.T) {
	for _, test := range []struct {
		key, image string
		matches    bool
	}{
		{"r.example", "r.example/app", true},
		{"r.example", "r.example:5000/app", false},
		{"r.example", "other.example/app", false},
		{"r.example/", "r.example/app", true},
		{"r.example/v1/", "r.example/app", true},
		{"r.example/v2", "r.example/team/app", true},
		{"https://r.example", "r.example/app", true},
		{"http://r.example/", "r.example/app", true},
		{"https://r.example/v2/", "r.example/team/app", true},
		{"https://r.example/v1/team", "r.example/team/app", true},
		{"https://r.example/v1/team", "r.example/other/app", false},
		{"r.example:5000", "r.example:5000/app", true},
		{"r.example:5000/team", "r.example:5000/team/app", true},
		{"r.example:5000/team", "r.example:5000/team/sub/app", true},
		{"r.example:5000/team/", "r.example:5000/team/app", true},
		{"r.example:5000/team/app", "r.example:5000/team/app:1", true},
		{"r.example:5000/team", "r.example:5000/teammates/app", false},
		{"r.example:5000/team", "r.example:5000/app", false},
		{"r.example:5000/team", "r.example/team/app", false},
		{"https://index.docker.io/v1/", "app", true},
		{"index.docker.io", "docker.io/team/app", true},
		{"docker.io", "app", true},
		{"registry-1.docker.io/v2/", "team/app", true},
		{"docker.io/team", "team/app", true},
		{"index.docker.io/team", "other/app", false},
		{"*.example", "r.example/app", true},
		{"*.example/team", "r.example/team/app", true},
		{"*.example/team", "r.example/other/app", false},
		{"r?-[a-c].*.example", "r1-b.eu.example/app", true},
		{"r?-[a-c].*.example", "r1-d.eu.example/app", false},
		{"*.example", "example/app", false},
		{"*.example", "a.r.example/app", false},
		{"*.example", "r.example:5000/app", false},
		{"*.example:5000", "r.example:5000/app", true},
		{"r.example:*", "r.example:5000/app", false},
		{"[.example", "r.example/app", false},
		{"", "app", false},
		{"https://", "app", false},
		{"/v1/", "app", false},
	} {
		t.Run(test.key+" for "+test.image, func(t *testing.T) {
			config := auths(t, map[string]string{test.key: "me"})
			for where, keys := range map[string]keyring.Keyring{"file": nil, "secret": keysOf(map[string]string{"s": config})} {
				own := ""
				if where == "file" {
					own = dockerConfig(t, config)
				}
				h := &refusing{host: newHost(), accepted: "nobody"}
				p := images.New(images.Config{DockerConfig: own}, h)
				defer p.Close()
				_, _ = p.OnHost(t.Context(), images.Want{Ref: test.image, Keys: keys})
				if want := map[bool]string{true: "me"}[test.matches]; h.users() != want || len(h.pulls) != 1 {
					t.Errorf("%s: pulled as %q, want %q", where, h.users(), want)
				}
			}
		})
	}
}

// TestPull_TriesTheNextCredentials: kubelet tries all that match, the longest path
// first, and stops at an answer that is no refusal.
func TestPull_TriesTheNextCredentials(t *testing.T) {
	refusal := fmt.Errorf("unauthorized: %w", errdefs.ErrPermissionDenied)
	hidden := fmt.Errorf("pull access denied: %w: %w", errdefs.ErrNotFound, errdefs.ErrPermissionDenied)
	three := func(t *testing.T) map[string]string {
		return map[string]string{"c": auths(t, map[string]string{"r.example": "c"}), "a": auths(t, map[string]string{"r.example": "a"}),
			"b": auths(t, map[string]string{"https://r.example": "b", "r.example/team": "b-team"})}
	}
	for _, test := range []struct {
		name     string
		secrets  func(*testing.T) map[string]string
		own      map[string]string
		accepted string
		with     error
		tried    string
		gets     bool
	}{
		{name: "the first", secrets: three, accepted: "b-team", with: refusal, tried: "b-team", gets: true},
		{name: "the second", secrets: three, accepted: "a", with: refusal, tried: "b-team a", gets: true},
		{name: "the last", secrets: three, accepted: "c", with: refusal, tried: "b-team a b c", gets: true},
		{name: "docker-sd's own", secrets: three, own: map[string]string{"r.example": "own", "r.example/team/app": "own-app"}, accepted: "own",
			with: refusal, tried: "b-team a b c own-app own", gets: true},
		{name: "none", secrets: three, own: map[string]string{"other.example": "own"}, accepted: "nobody", with: refusal, tried: "b-team a b c"},
		{name: "a registry that hides what it has", secrets: three, accepted: "c", with: hidden, tried: "b-team a b c", gets: true},
		{name: "no such image", secrets: three, accepted: "c", with: fmt.Errorf("manifest unknown: %w", errdefs.ErrNotFound), tried: "b-team"},
		{name: "a registry that is away", secrets: three, accepted: "c", with: errors.New("no such host"), tried: "b-team"},
		{name: "the same twice", secrets: func(t *testing.T) map[string]string {
			return map[string]string{"a": auths(t, map[string]string{"r.example": "a"}), "b": auths(t, map[string]string{"r.example/": "a"})}
		}, own: map[string]string{"https://r.example": "a"}, accepted: "nobody", with: refusal, tried: "a"},
		{name: "one that cannot be read", secrets: func(t *testing.T) map[string]string {
			return map[string]string{"a": `{"auths":{"r.example":{"auth":"!"}}}`, "b": auths(t, map[string]string{"r.example": "b"})}
		}, accepted: "b", with: refusal, tried: "b", gets: true},
		{name: "a host before a pattern", secrets: func(t *testing.T) map[string]string {
			return map[string]string{"a": auths(t, map[string]string{"*.example": "pattern", "*.example/team": "team"}),
				"b": auths(t, map[string]string{"r.example": "host"})}
		}, accepted: "pattern", with: refusal, tried: "team host pattern", gets: true},
		{name: "the bare host before other forms", secrets: func(t *testing.T) map[string]string {
			return map[string]string{"s": auths(t, map[string]string{"http://r.example": "2", "r.example": "1", "https://r.example": "3"})}
		}, accepted: "3", with: refusal, tried: "1 2 3", gets: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := &refusing{host: newHost(), accepted: test.accepted, with: test.with}
			h.registry["r.example/team/app:1"] = engine.Image{ID: "sha256:new"}
			p := images.New(images.Config{DockerConfig: dockerConfig(t, auths(t, test.own))}, h)
			defer p.Close()
			_, err := p.OnHost(t.Context(), images.Want{Ref: "r.example/team/app:1", Keys: keysOf(test.secrets(t))})
			if h.users() != test.tried {
				t.Errorf("tried %q, want %q", h.users(), test.tried)
			}
			failure := &images.PullError{}
			if test.gets != (err == nil) || err != nil && (!errors.As(err, &failure) || !strings.Contains(err.Error(), test.with.Error())) {
				t.Errorf("error %v", err)
			}
			if err != nil && strings.Contains(err.Error(), "secret") {
				t.Errorf("the error shows a password: %v", err)
			}
		})
	}
}

// TestCredentials_Unreadable: credentials of which none can be read are not taken
// for none.
func TestCredentials_Unreadable(t *testing.T) {
	h := newHost()
	p := images.New(images.Config{}, h)
	defer p.Close()
	_, err := p.OnHost(t.Context(), images.Want{Ref: "r.example/app", Keys: keysOf(map[string]string{"s": `{"auths":{"r.example":{"auth":"!"}}}`})})
	if err == nil || !strings.Contains(err.Error(), "r.example") || len(h.pulls) != 0 {
		t.Errorf("error %v after %d pulls", err, len(h.pulls))
	}
}

// withHelpers makes credential helpers, which know r.example only: one each that
// answers a token and a password, one that has nothing and one that is broken.
func withHelpers(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	for name, answer := range map[string]string{"token": `echo '{"Username":"<token>","Secret":"t0ken"}'`, "user": `echo '{"Username":"me","Secret":"t0ken"}'`,
		"none": "echo 'credentials not found in native keychain'; exit 1", "broken": "exit 1",
		"locked": "echo the keychain is locked; exit 1", "leaky": `echo '{"Secret":"t0ken"}'; exit 1`} {
		script := "#!/bin/sh\nread -r server\n[ \"$1 $server\" = 'get r.example' ] || exit 1\n" + answer + "\n"
		if err := os.WriteFile(filepath.Join(dir, "docker-credential-"+name), []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
}

// TestCredentials_IdentityToken: a token is no password, wherever it comes from.
func TestCredentials_IdentityToken(t *testing.T) {
	withHelpers(t)
	token := engine.Credentials{IdentityToken: "t0ken", Server: "r.example"}
	password := engine.Credentials{User: "me", Password: "t0ken", Server: "r.example"}
	// Docker writes the user beside the token, without a password.
	entry := `{"auths":{"r.example":{"auth":"bWU6","identitytoken":"t0ken"}}}`
	for name, test := range map[string]struct {
		config string
		want   engine.Credentials
	}{
		"an entry":           {entry, token},
		"a helper's":         {`{"credHelpers":{"r.example":"token"}}`, token},
		"a helper's, by URL": {`{"credHelpers":{"https://r.example/v2/":"token"}}`, token},
		"the store's":        {`{"credsStore":"token","auths":{"r.example":{}}}`, token},
		"a helper, no token": {`{"credHelpers":{"r.example":"user"},"credsStore":"token"}`, password},
		"the store, no token": {`{"credsStore":"user","credHelpers":{"other.example":"token"},
			"auths":{"r.example":{"identitytoken":"another"}}}`, password},
		"a helper that has none":   {`{"credHelpers":{"r.example":"none"},"credsStore":"broken"}`, engine.Credentials{}},
		"after a helper with none": {`{"credHelpers":{"r.example":"none"},"auths":{"r.example":{"identitytoken":"t0ken"}}}`, token},
		"after a broken store":     {`{"credsStore":"broken","auths":{"r.example":{"identitytoken":"t0ken"}}}`, token},
		"a path before the store":  {`{"credsStore":"user","auths":{"r.example/team":{"identitytoken":"t0ken"}}}`, token},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHost()
			h.registry["r.example/team/app:1"] = engine.Image{ID: "sha256:new"}
			p := images.New(images.Config{DockerConfig: dockerConfig(t, test.config)}, h)
			defer p.Close()
			if err := p.Fetch(t.Context(), "r.example/team/app:1"); err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(h.pulls, []engine.Credentials{test.want}) {
				t.Errorf("pulled with %+v, want %+v", h.pulls, test.want)
			}
		})
	}
	var secret []engine.Credentials
	for found, err := range keysOf(map[string]string{"s": entry}).For(t.Context(), "r.example", "app") {
		if secret = append(secret, found); err != nil {
			t.Errorf("a secret's: %v", err)
		}
	}
	if !slices.Equal(secret, []engine.Credentials{token}) {
		t.Errorf("a secret's: %+v", secret)
	}
}

// TestCredentials_HelperThatHangs is ended when nobody waits for the image any
// more, with all that it has started.
func TestCredentials_HelperThatHangs(t *testing.T) {
	dir := t.TempDir()
	// Whoever of them lives has it open for writing.
	alive := filepath.Join(dir, "alive")
	if err := syscall.Mkfifo(alive, 0o600); err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\nexec 3>" + alive + "\n/bin/sleep 3600 &\nwait\n"
	if err := os.WriteFile(filepath.Join(dir, "docker-credential-mute"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir)
	p := images.New(images.Config{DockerConfig: dockerConfig(t, `{"credsStore":"mute"}`)}, newHost())
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() {
		err := p.Fetch(ctx, "r.example/app:1")
		p.Close()
		ended <- err
	}()
	pipe, err := os.Open(alive) // returns when the helper has come
	if err != nil {
		t.Fatal(err)
	}
	defer pipe.Close()
	cancel()
	if err := pipe.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadAll(pipe); err != nil {
		t.Errorf("the helper or its child lives on: %v", err)
	}
	select {
	case err := <-ended:
		if err == nil {
			t.Error("an image was fetched without an answer of the helper")
		}
	case <-time.After(time.Minute):
		t.Fatal("the pull waits for a helper that does not answer")
	}
}

// TestCredentials_HelperThatFails says why, and never what it knows.
func TestCredentials_HelperThatFails(t *testing.T) {
	withHelpers(t)
	for name, want := range map[string]string{"locked": "the keychain is locked", "leaky": "exit status 1"} {
		p := images.New(images.Config{DockerConfig: dockerConfig(t, `{"credsStore":"`+name+`"}`)}, newHost())
		err := p.Fetch(t.Context(), "r.example/app:1")
		p.Close()
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "t0ken") {
			t.Errorf("the helper %s: %v, want %q", name, err, want)
		}
	}
}
