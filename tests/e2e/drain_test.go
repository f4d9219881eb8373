//go:build e2e

package e2e_test

import (
	"net/http"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// A drain that an operator asks for reaches the cluster with the next ping and
// outlives the restart that it is for.
func TestDrainIsReported(t *testing.T) {
	t.Parallel()
	d := ownDaemon(t, 0, nil)
	const taint = `"pods":"0"},"taints":[{"key":"docker-sd.interlink/drain","value":"true","effect":"NoSchedule"}]`
	command := func(args ...string) {
		t.Helper()
		cmd := exec.Command(suite.binary, append(args, "-interlinkconfigpath", d.Config)...)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("docker-sd %v: %v\n%s", args, err, out)
		}
	}
	pinged := func(want string) {
		t.Helper()
		code, text := d.must(t, http.MethodGet, "/status", []byte("[]"))
		if code != http.StatusOK || want == "" && strings.Contains(text, "taints") || !strings.Contains(text, want) {
			t.Errorf("a ping is answered %d %s, want %s", code, text, want)
		}
	}
	pinged("")
	command("drain")
	pinged(taint)
	if err := d.signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	pinged(taint)
	command("drain", "--off")
	pinged(`"taints":[]`)
}
