//go:build e2e

package e2e_test

import (
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/preflight"
)

// TestCheckSockets: the check tells who can connect to the socket for pods, as it is and as the
// configuration wants it.
func TestCheckSockets(t *testing.T) {
	t.Parallel()
	d := prepareDaemon(t, map[string]any{"AVAILABLEDINDS": 0, "AdminAddress": "off", "SocketGroup": "daemon"})
	path := strings.TrimPrefix(d.settings["Socket"].(string), "unix://")
	wants := func(verdict preflight.Verdict, found string) {
		t.Helper()
		report, _ := d.checked(t, "--no-boot")
		if l := lineOf(t, report, "interlink socket"); l.Verdict != verdict || !strings.Contains(l.Found, found) {
			t.Errorf("the line is %+v, want %s with %q", l, verdict, found)
		}
		lineOf(t, report, "engine socket")
	}
	wants(preflight.OK, path+" will belong to root:daemon, mode 0660")
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	wants(preflight.OK, path+" belongs to root:daemon, mode 0660: user root and the members of group daemon can send pods")
	if err := os.Chmod(path, 0o666); err != nil {
		t.Fatal(err)
	}
	wants(preflight.Fail, "every user of this host can run pods")
	if err := errors.Join(os.Chmod(path, 0o660), os.Chown(path, 0, 0)); err != nil {
		t.Fatal(err)
	}
	wants(preflight.Warn, "belongs to root:root, mode 0660, and the configuration wants root:daemon, mode 0660")
}
