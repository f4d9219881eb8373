package main

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// bundleTexts are the files of a bundle by name.
func bundleTexts(t *testing.T, path string) map[string]string {
	t.Helper()
	file, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	zipped, err := gzip.NewReader(file)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for files := tar.NewReader(zipped); ; {
		header, err := files.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(files)
		if err != nil {
			t.Fatal(err)
		}
		if header.Mode != 0o600 {
			t.Errorf("%s has mode %o", header.Name, header.Mode)
		}
		out[strings.TrimPrefix(header.Name, "docker-sd-bundle/")] = string(text)
	}
}

// secretSettings have a secret, marked by SECRET and a number, in every place where a
// configuration can have one.
const secretSettings = `# a note of the administrator: SECRET-01
BearerTokenFile: TOKENFILE
InterlinkAPI:
  Token: SECRET-02
  Nested: {deep: [SECRET-03, {deeper: "SECRET-04\nwith \"quotes\" <&>"}]}
http_proxy: "http://user:SECRET-05@proxy.example:3128"
https_proxy: "http://SECRET-06@proxy.example:3128/"
TELEMETRY_ENDPOINT: "https://user:SECRET-07@collector.example/v1?key=SECRET-08"
PodDefaults:
  httpProxy: "http://pod:SECRET-09@proxy.example:3128"
  httpsProxy: "http://proxy.example:3128/?token=SECRET-10"
  noProxy: "SECRET-11.example"
  env: {API_KEY: SECRET-12}
BearerToken: SECRET-13
TLS: {Password: "SECRET-14", Headers: {Authorization: "Basic SECRET-15"}}
VKTokenFile: /etc/SECRET-16
ServiceAccount: SECRET-17
CommandPrefix: "export PASSWORD=SECRET-18"
TELEMETRY_CLIENT_KEY_FILEPATH: "-----BEGIN PRIVATE KEY-----\nSECRET-19\n-----END PRIVATE KEY-----"
GPUSharing: {note: SECRET-20}
Capacity: {note: SECRET-21}
Unknown: [SECRET-22, "tcp://a:SECRET-23@host"]
`

// TestBundleHasNoSecrets: what the configuration, the environment and files of tokens have is
// not in what is sent to others.
func TestBundleHasNoSecrets(t *testing.T) {
	dir, err := os.MkdirTemp("", "sd") // short, for its sockets
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	token, path := filepath.Join(dir, "token"), filepath.Join(dir, "bundle.tar.gz")
	if err := os.WriteFile(token, []byte("SECRET-24-of-the-token-file\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	text := strings.ReplaceAll(secretSettings, "TOKENFILE", token) + "DataRootFolder: " + filepath.Join(dir, "data") +
		"\nSocket: unix://" + filepath.Join(dir, "api.sock") + "\nDOCKER_HOST: unix://" + filepath.Join(dir, "none") +
		"\nAdminAddress: \"off\"\nInstance: harmless\n"
	config := settingsFile(t, text)
	environment := func(name string) string {
		return map[string]string{"no_proxy": "", "https_proxy": "http://u:SECRET-25@proxy.example:1"}[name]
	}
	check := func() error {
		var out bytes.Buffer
		return run(t.Context(), []string{"--interlinkconfigpath", config, "check", "--no-boot", "--bundle", path}, environment, &out)
	}
	if err := check(); exitCode(err) != 1 {
		t.Fatalf("check = %v", err)
	}
	info, err := os.Lstat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("the bundle is %v, %v", info, err)
	}
	texts := bundleTexts(t, path)
	for name, want := range map[string]string{"configuration.yaml": "Instance: harmless", "check.txt": "fail  engine", "check.json": `"id": "engine"`,
		"versions.json": `"dockerSD": "dev"`, "missing.txt": "info.json: no docker-sd runs"} {
		if !strings.Contains(texts[name], want) {
			t.Errorf("%s has no %q: %s", name, want, texts[name])
		}
	}
	if !strings.Contains(texts["configuration.yaml"], "http_proxy: http://(removed)@proxy.example:3128") {
		t.Errorf("what is no secret of a proxy is not there: %s", texts["configuration.yaml"])
	}
	// The control: they are where the check has read them.
	there := text + "SECRET-24 SECRET-25"
	for i := 1; i <= 25; i++ {
		secret := "SECRET-" + string(rune('0'+i/10)) + string(rune('0'+i%10))
		if !strings.Contains(there, secret) {
			t.Errorf("%s is in no place", secret)
		}
		for name, text := range texts {
			if strings.Contains(text, secret) {
				t.Errorf("%s is in %s", secret, name)
			}
		}
	}
	wantKept(t, path, check)
}

// wantKept: a file that is there is not replaced, and no link is followed.
func wantKept(t *testing.T, path string, check func() error) {
	t.Helper()
	for range 2 {
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := check(); exitCode(err) != 2 || !strings.Contains(err.Error(), "is there") {
			t.Errorf("over another file check = %v", err)
		}
		if after, err := os.ReadFile(path); err != nil || !bytes.Equal(before, after) {
			t.Errorf("the file has changed: %v", err)
		}
		if err := errors.Join(os.Rename(path, path+".1"), os.Symlink(path+".1", path)); err != nil {
			t.Fatal(err)
		}
	}
}
