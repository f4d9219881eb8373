package nfs

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

func TestAllowed(t *testing.T) {
	list := []string{"nfs.example.org", "192.0.2.7", "198.51.100.0/24", "2001:db8::/32"}
	for server, want := range map[string]bool{
		"nfs.example.org": true, "NFS.example.org": true, "other.example.org": false, "nfs.example.org.": false, "x.nfs.example.org": false,
		"192.0.2.7": true, "192.0.2.8": false, "198.51.100.200": true, "::ffff:198.51.100.200": true, "198.51.101.1": false,
		"2001:db8:1::5": true, "2001:db9::1": false, "": false,
	} {
		if got := Allowed(list, server); got != want {
			t.Errorf("Allowed(%q) = %t", server, got)
		}
		if Allowed(nil, server) {
			t.Errorf("%q is allowed by an empty list", server)
		}
	}
}

func TestExport(t *testing.T) {
	for _, c := range []struct {
		name    string
		options []string
		want    initapi.NFS
	}{
		{"none", nil, initapi.NFS{}},
		{"kernel's", []string{"vers=4.1", "soft,timeo=50", "proto=tcp"}, initapi.NFS{Options: "vers=4.1,soft,timeo=50,proto=tcp"}},
		{"the other name", []string{"nfsvers=3"}, initapi.NFS{Options: "vers=3"}},
		{"of the mount", []string{"noexec", "nosuid", "noatime", "noexec"}, initapi.NFS{Flags: []string{"noatime", "noexec", "nosuid"}}},
		{"read-only", []string{"ro"}, initapi.NFS{ReadOnly: true}},
		{"without meaning here", []string{"rw", "bg", "retry=2", "_netdev", "", "hard"}, initapi.NFS{Options: "hard"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Export("nfs.example.org", "/data", false, c.options)
			if err != nil {
				t.Fatal(err)
			}
			if got.Name == "" {
				t.Error("it has no name")
			}
			want := c.want
			want.Server, want.Path, want.Name = "nfs.example.org", "/data", got.Name
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

// TestExportNames: one mount for each export and its options.
func TestExportNames(t *testing.T) {
	seen := map[string]string{}
	for name, c := range map[string]struct {
		server, path string
		readOnly     bool
		options      []string
	}{
		"plain": {"s", "/d", false, nil}, "server": {"s2", "/d", false, nil}, "path": {"s", "/d2", false, nil}, "read-only": {"s", "/d", true, nil},
		"options": {"s", "/d", false, []string{"soft"}}, "flags": {"s", "/d", false, []string{"noexec"}},
	} {
		one, err := Export(c.server, c.path, c.readOnly, c.options)
		again, err2 := Export(c.server, c.path, c.readOnly, slices.Clone(c.options))
		if err != nil || err2 != nil || one.Name != again.Name {
			t.Fatal(name, err, err2, one.Name, again.Name)
		}
		if other, taken := seen[one.Name]; taken {
			t.Errorf("%s and %s have one name", name, other)
		}
		seen[one.Name] = name
	}
}

func TestExportRefuses(t *testing.T) {
	for _, c := range []struct {
		name, server, path string
		options            []string
		want               string
	}{
		{"loopback", "127.0.0.1", "/d", nil, "not the address of another host"},
		{"loopback behind IPv6", "::ffff:127.0.0.1", "/d", nil, "not the address of another host"},
		{"IPv6 loopback", "::1", "/d", nil, "not the address of another host"},
		{"every address", "0.0.0.0", "/d", nil, "not the address of another host"},
		{"metadata service", "169.254.169.254", "/d", nil, "not the address of another host"},
		{"multicast", "224.0.0.1", "/d", nil, "not the address of another host"},
		{"zone", "fe80::1%eth0", "/d", nil, "not the address"},
		{"no name", "", "/d", nil, "neither a host name nor an address"},
		{"name with an option", "s,addr=10.0.0.1", "/d", nil, "neither a host name nor an address"},
		{"name with a path", "s:/other", "/d", nil, "neither a host name nor an address"},
		{"relative path", "s", "d", nil, "must be absolute"},
		{"path that climbs", "s", "/d/../e", nil, "must be absolute and without .."},
		{"path with a line end", "s", "/d\nx", nil, "must be absolute"},
		{"another address", "s", "/d", []string{"addr=10.0.0.1"}, "option addr is not allowed"},
		{"another mount server", "s", "/d", []string{"mountaddr=10.0.0.1"}, "option mountaddr is not allowed"},
		{"hidden in another", "s", "/d", []string{"soft,addr=10.0.0.1"}, "option addr is not allowed"},
		{"hidden in a value", "s", "/d", []string{"timeo=1,addr=10.0.0.1"}, "option addr is not allowed"},
		{"Kerberos", "s", "/d", []string{"sec=krb5"}, "its value is none of sys"},
		{"UDP", "s", "/d", []string{"proto=udp"}, "its value is none of tcp"},
		{"version", "s", "/d", []string{"vers=2"}, "its value is none of 3"},
		{"no number", "s", "/d", []string{"timeo=x"}, "is no number"},
		{"large number", "s", "/d", []string{"nconnect=17"}, "up to 16"},
		{"flag with a value", "s", "/d", []string{"soft=1"}, "it has no value"},
		{"unknown", "s", "/d", []string{"context=x"}, "option context is not allowed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := Export(c.server, c.path, false, c.options)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Export() = %+v, %v; want %q", got, err, c.want)
			}
		})
	}
}
