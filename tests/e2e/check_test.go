//go:build e2e

package e2e_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/preflight"
	"github.com/intertwin-eu/interlink-docker-plugin/tests/certificates"
)

// command runs docker-sd with the daemon's configuration and returns what it
// printed and its exit code.
func (d *daemon) command(t *testing.T, args ...string) (out, errs string, code int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), runLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, suite.binary, append([]string{"-interlinkconfigpath", d.Config}, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); name == "PATH" || name == "HOME" || name == "DOCKER_HOST" && d.settings["DOCKER_HOST"] == nil {
			cmd.Env = append(cmd.Env, entry)
		}
	}
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()
}

// checked runs a check and returns its report. Nothing must be left of it.
func (d *daemon) checked(t *testing.T, args ...string) (preflight.Report, int) {
	t.Helper()
	out, errs, code := d.command(t, append([]string{"check", "-o", "json", "--boot-timeout", "2m"}, args...)...)
	var report preflight.Report
	if err := json.Unmarshal([]byte(out), &report); err != nil {
		t.Fatalf("check ends with %d: %v\n%s%s", code, err, out, errs)
	}
	label := d.label() + "-check"
	containers, err := suite.engine.containers(t.Context(), label)
	networks, netErr := suite.engine.networks(t.Context(), label)
	_, dirErr := os.Stat(filepath.Join(d.data(), "check"))
	if err := errors.Join(err, netErr); err != nil || len(containers)+len(networks) > 0 || !errors.Is(dirErr, os.ErrNotExist) {
		t.Errorf("the check left %v and %v behind, and its folder is there: %v (%v)", containers, networks, dirErr, err)
	}
	return report, code
}

func lineOf(t *testing.T, r preflight.Report, name string) preflight.Line {
	t.Helper()
	at := slices.IndexFunc(r.Lines, func(l preflight.Line) bool { return l.Name == name })
	if at < 0 {
		t.Fatalf("no line %q in %+v", name, r.Lines)
	}
	return r.Lines[at]
}

// On a host where all is right a check says so, before docker-sd has run and
// while it runs, which does not notice.
func TestCheckRight(t *testing.T) {
	t.Parallel()
	d := prepareDaemon(t, map[string]any{"AVAILABLEDINDS": 1, "AdminAddress": "off"})
	report, code := d.checked(t)
	if code != 0 || !report.OK {
		t.Errorf("check ends with %d: %+v", code, report.Lines)
	}
	if b := report.Boot; b == nil || b.Create <= 0 || b.Start <= 0 || b.Ready <= 0 || b.Run <= 0 || b.Remove <= 0 {
		t.Errorf("the boot's times are %+v", b)
	}
	if _, err := os.Stat(d.data()); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the check has made DataRootFolder: %v", err)
	}
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	client := d.operator(t)
	eventually(t, runLimit, "a warm sandbox", func() bool {
		pool, err := client.Pool(t.Context())
		return err == nil && pool.Warm == 1
	}, nil)
	report, code = d.checked(t)
	if code != 0 || !strings.Contains(lineOf(t, report, "docker-sd").Found, "runs as instance "+d.instance) ||
		!strings.Contains(lineOf(t, report, "data folder").Found, "in use by the docker-sd that runs") ||
		!strings.Contains(lineOf(t, report, "listen address").Found, "answered by the docker-sd that runs") {
		t.Errorf("check beside docker-sd ends with %d: %+v", code, report.Lines)
	}
	// Its sandboxes may be renewed meanwhile, since other tests bring images.
	if text := d.log.About("level=warning", "level=error", "nobody knows"); text != "" {
		t.Errorf("docker-sd has noticed the check:\n%s", text)
	}
}

// What is wrong is said in a sentence, and the exit code is 1.
func TestCheckWrong(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		settings map[string]any
		prepare  func(t *testing.T, d *daemon)
		line     string
		found    string
		booted   bool
	}{
		"engine":  {map[string]any{"DOCKER_HOST": "unix:///run/not-there.sock"}, nil, "engine", "no Docker engine answers at unix:///run/not-there.sock", false},
		"image":   {map[string]any{"SandboxImage": "docker-sd.invalid/none:1"}, nil, "sandbox image", "the sandbox image docker-sd.invalid/none:1 is not on this host", false},
		"dockerd": {map[string]any{"SandboxImage": suite.images.busybox}, nil, "sandbox image", "cannot run dockerd", false},
		"subnets": {map[string]any{"DockerNetworkSubnet": []string{"10.254.254.0/28"}}, func(t *testing.T, d *daemon) {
			network := suite.engine.makeNetwork(t, d.instance+"-full", "10.254.254.0/28")
			t.Cleanup(func() {
				if err := suite.engine.removeNetwork(context.Background(), network); err != nil {
					t.Error(err)
				}
			})
		}, "networks", "DockerNetworkSubnet 10.254.254.0/28 has no network left", false},
		"locked": {nil, func(t *testing.T, d *daemon) {
			if err := os.MkdirAll(d.data(), 0o700); err != nil {
				t.Fatal(err)
			}
			holder := exec.Command("flock", filepath.Join(d.data(), "lock"), "sh", "-c", "echo held; read _")
			release, err := holder.StdinPipe()
			if err != nil {
				t.Fatal(err)
			}
			said, err := holder.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := holder.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { release.Close(); _ = holder.Wait() })
			if _, err := said.Read(make([]byte, 5)); err != nil {
				t.Fatal(err)
			}
		}, "data folder", "is locked by process ", true},
		"port": {map[string]any{"Socket": "", "SidecarPort": 0}, func(t *testing.T, d *daemon) {
			held, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { held.Close() })
			d.settings["SidecarPort"] = held.Addr().(*net.TCPAddr).Port
			if err := d.writeConfig(); err != nil {
				t.Fatal(err)
			}
		}, "listen address", "another process listens on 127.0.0.1:", false},
	} {
		t.Run(name, func(t *testing.T) {
			d := prepareDaemon(t, c.settings)
			if c.prepare != nil {
				c.prepare(t, d)
			}
			var args []string
			if name == "port" {
				args = []string{"--no-boot"}
			}
			report, code := d.checked(t, args...)
			line := lineOf(t, report, c.line)
			if code != 1 || report.OK || line.Verdict != preflight.Fail || !strings.Contains(line.Found, c.found) || line.Do == "" {
				t.Errorf("check ends with %d: %+v; all of it: %+v", code, line, report.Lines)
			}
			if (report.Boot != nil) != c.booted {
				t.Errorf("the boot was %+v", report.Boot)
			}
		})
	}
}

// What operators type shows a pod, and prints what its containers write.
func TestLookAtAPod(t *testing.T) {
	t.Parallel()
	d := sharedDaemon(t)
	pod := newPod(shell("first", "echo one; echo two; "+untilStopped), shell("second", "echo other; "+untilStopped))
	p := d.run(t, pod)
	name := pod.Namespace + "/" + pod.Name
	eventually(t, runLimit, "the pod is listed running", func() bool {
		out, _, code := d.command(t, "pods")
		return code == 0 && slices.ContainsFunc(strings.Split(out, "\n"), func(line string) bool {
			return strings.Contains(line, string(pod.UID)) && strings.Contains(line, "2/2") && strings.Contains(line, "running")
		})
	}, nil)
	for args, want := range map[string]string{
		"logs " + name + " --tail 1":              "two\n",
		"logs " + string(pod.UID) + " -c second":  "other\n",
		"logs " + name + " -c first --since 1h":   "one\ntwo\n",
		"logs " + name + " -c first --tail 0":     "",
		"logs " + name + " --tail 1 --timestamps": "Z two\n",
		"__complete logs " + name + " -c ":        "first\nsecond\n",
		"__complete logs " + pod.Namespace + "/":  name + "\trunning\n",
		"pool":                                    pod.Namespace + "/" + pod.Name,
		"gpus":                                    "no accelerators",
		"version":                                 "as instance " + d.instance,
	} {
		fields := strings.Fields(args)
		if strings.HasSuffix(args, " ") {
			fields = append(fields, "")
		}
		out, errs, code := d.command(t, fields...)
		if code != 0 || !strings.Contains(out, want) || want == "" && out != "" {
			t.Errorf("%s ends with %d and %q, %q; want %q", args, code, out, errs, want)
		}
	}
	if _, errs, code := d.command(t, "logs", name, "-p"); code != 1 || !strings.Contains(errs, "400") && !strings.Contains(errs, "404") {
		t.Errorf("the log of a run that was not ends with %d: %s", code, errs)
	}
	p.delete(0)
}

// The token and the certificate of the configuration are brought along.
func TestLogsWithTokenAndTLS(t *testing.T) {
	t.Parallel()
	d := prepareDaemon(t, map[string]any{"AVAILABLEDINDS": 0, "AdminAddress": "off"})
	path := func(name string) string { return filepath.Join(d.dir, name) }
	certificates.New(t, "docker-sd", nil).Write(t, path("cert"), path("key"))
	certificates.Replace(t, path("token"), "the-only-token-of-all\n", 0o600)
	for key, name := range map[string]string{"TLSCertFile": "cert", "TLSKeyFile": "key", "BearerTokenFile": "token"} {
		d.settings[key] = path(name)
	}
	if err := errors.Join(d.writeConfig(), d.Start()); err != nil {
		t.Fatal(err)
	}
	transport := d.HTTP.Transport.(*http.Transport)
	transport.TLSClientConfig = &tls.Config{InsecureSkipVerify: true}
	d.Base = "https://unix"
	headers := map[string]string{"Authorization": "Bearer the-only-token-of-all"}
	pod := newPod(shell("c", "echo told; "+untilStopped))
	eventually(t, runLimit, "the pod is taken", func() bool {
		code, _, err := d.Call(t.Context(), http.MethodPost, "/create", encode(t, newCreate(pod)), headers)
		return err == nil && code == http.StatusOK
	}, d.log.String)
	eventually(t, runLimit, "the log is printed", func() bool {
		out, _, code := d.command(t, "logs", string(pod.UID))
		return code == 0 && out == "told\n"
	}, d.log.String)
	certificates.New(t, "somebody", nil).Write(t, path("other"), path("other-key"))
	d.settings["TLSCertFile"], d.settings["TLSKeyFile"] = path("other"), path("other-key")
	if err := d.writeConfig(); err != nil {
		t.Fatal(err)
	}
	if _, errs, code := d.command(t, "logs", string(pod.UID)); code != 1 || !strings.Contains(errs, "does not show the certificate in "+path("other")) {
		t.Errorf("whoever shows another certificate is trusted: %d, %s", code, errs)
	}
	p := &podRun{t: t, d: d, pod: pod}
	if code, text, err := d.Call(t.Context(), http.MethodPost, "/delete", p.deleteBody(0), headers); err != nil || code != http.StatusOK {
		t.Fatalf("delete is answered with %d: %s (%v)", code, text, err)
	}
}

// makeNetwork takes a range of addresses and returns the network's id.
func (e *engineReader) makeNetwork(t *testing.T, name, subnet string) string {
	t.Helper()
	body := fmt.Sprintf(`{"Name":%q,"Labels":{%q:%q},"IPAM":{"Config":[{"Subnet":%q}]}}`, name, "docker-sd.e2e", "full", subnet)
	response, err := e.http.Post("http://engine/networks/create", "application/json", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var made struct {
		ID string `json:"Id"`
	}
	if err := json.NewDecoder(response.Body).Decode(&made); err != nil || made.ID == "" {
		t.Fatalf("the network %s is not made: %s, %v", subnet, response.Status, err)
	}
	return made.ID
}
