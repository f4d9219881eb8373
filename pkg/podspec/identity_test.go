package podspec_test

import (
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
)

// TestIdentity: whose files are those that are copied into a container.
func TestIdentity(t *testing.T) {
	accounts, err := podspec.ParseAccounts([]byte("root:x:0:0::/:/bin/sh\nfit:x:1000:2000::/:/bin/sh\n"), []byte("root:x:0:\nstaff:x:50:fit\n"))
	if err != nil {
		t.Fatal(err)
	}
	for user, want := range map[string][2]int{
		"": {0, 0}, "0": {0, 0}, "root": {0, 0}, "fit": {1000, 2000}, "1000": {1000, 2000}, "1234": {1234, 0}, "1234:5678": {1234, 5678},
		"fit:0": {1000, 0}, "fit:staff": {1000, 50}, "1234:staff": {1234, 50}, "nobody-here": {0, 0}, ":50": {0, 50},
	} {
		if uid, gid := accounts.Identity(user); uid != want[0] || gid != want[1] {
			t.Errorf("Identity(%q) = %d, %d, want %v", user, uid, gid, want)
		}
	}
	if uid, gid := (podspec.Accounts{}).Identity("1234:5678"); uid != 1234 || gid != 5678 {
		t.Errorf("without accounts it is %d, %d", uid, gid)
	}
}
