package doctor

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestClean(t *testing.T) {
	r := newRedactor()
	r.learn("the-secret")
	r.learn("the-secret-and-more")
	r.learn(`a"quoted\one`)
	r.learn("abcd") // too short: a word
	for text, want := range map[string]string{
		"the-secret-and-more, the-secret": "(removed), (removed)",
		`{"a":"a\"quoted\\one"}`:          `{"a":"(removed)"}`,
		"abcd":                            "abcd",
		"http://u:p@h/x":                  "http://(removed)@h/x",
		"tcp://u:p%40q@h:1 and unix:///run/docker.sock":                                 "tcp://(removed)@h:1 and unix:///run/docker.sock",
		"https://h/x?key=1&b=2 is":                                                      "https://h/x?(removed) is",
		"Authorization: Bearer abc.DEF-123_4":                                           "Authorization: Bearer (removed)",
		"-----BEGIN RSA PRIVATE KEY-----\nMII\nx\n-----END RSA PRIVATE KEY-----\nafter": "(removed)\nafter",
		"-----BEGIN CERTIFICATE-----\nMII that is cut off":                              "(removed)",
		"docker:dind@sha256:0123 and user@host":                                         "docker:dind@sha256:0123 and user@host",
	} {
		if got := r.clean(text); got != want {
			t.Errorf("clean(%q) = %q, want %q", text, got, want)
		}
	}
}

func TestRedactedSettings(t *testing.T) {
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("content-of-the-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := newRedactor()
	got := r.settings(map[string]any{
		"BearerTokenFile": token, "Other": map[string]any{"TokenFile": "token-in-its-place"}, "RegistryPassword": "pass-word", "Pin": 12345.0,
		"Headers": map[string]any{"X-Any": "header-value", "List": []any{"in-a-list"}}, "SecretNumber": 987654.0,
		"proxy": "user:no-scheme@proxy:1", "SandboxImage": "docker:dind@sha256:01", "Names": []any{"plain"},
		"PodDefaults":                            map[string]any{"env": map[string]any{"A": "of-a-variable"}, "limits": map[string]any{"cpu": "2"}, "timeZone": "host", "list": []any{"x-in-list"}},
		"ImagePullCredentialsVerificationPolicy": "NeverVerifyPreloadedImages",
	})
	text := r.clean(strings.Join([]string{"content-of-the-file token-in-its-place pass-word header-value in-a-list 987654 no-scheme"}, ""))
	if text != strings.TrimSuffix(strings.Repeat("(removed) ", 7), " ") {
		t.Errorf("not all is learned: %s", text)
	}
	for key, want := range map[string]any{"BearerTokenFile": isSet, "RegistryPassword": removed, "SecretNumber": removed, "Pin": 12345.0,
		"proxy": "(removed)@proxy:1", "SandboxImage": "docker:dind@sha256:01", "ImagePullCredentialsVerificationPolicy": "NeverVerifyPreloadedImages"} {
		if got[key] != want {
			t.Errorf("%s is %v, want %v", key, got[key], want)
		}
	}
	defaults := got["PodDefaults"].(map[string]any)
	if defaults["env"].(map[string]any)["A"] != isSet || defaults["limits"].(map[string]any)["cpu"] != "2" || defaults["list"].([]any)[0] != isSet || defaults["timeZone"] != "host" {
		t.Errorf("the defaults of pods are %v", defaults)
	}
}

// Values of other programs are removed, and their ordinary words are not.
func TestForeignValues(t *testing.T) {
	r := newRedactor()
	r.foreign(map[string]any{"KNOWN": "known-value-1", "api": map[string]any{"Address": "known-value-2", "extra": "Unknown-value-3"},
		"Other": []any{map[string]any{"x": "Unknown-value-4", "n": 1234567890.0}, "default-namespace", "http://10.0.0.1:3000", true, nil}},
		map[string]any{"Known": "known-value-1", "API": map[string]any{"address": "known-value-2"}})
	for secret, want := range map[string]bool{"Unknown-value-3": true, "Unknown-value-4": true, "known-value-1": false, "known-value-2": false,
		"default-namespace": false, "http://10.0.0.1:3000": false} {
		if r.secrets[secret] != want {
			t.Errorf("%q is taken for a secret: %t", secret, !want)
		}
	}
}
