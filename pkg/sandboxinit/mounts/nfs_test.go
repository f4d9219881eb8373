package mounts

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// mounted is one call of mount(2).
type mounted struct {
	source, kind string
	flags        uintptr
	data         string
}

// mountWith mounts an export with a kernel that answers the calls in turn.
func mountWith(n initapi.NFS, server string, answers ...error) (calls []mounted, err error) {
	e := &Exports{mount: func(source, _, kind string, flags uintptr, data string) error {
		calls = append(calls, mounted{source, kind, flags, data})
		return answers[min(len(calls), len(answers))-1]
	}}
	return calls, e.mountExport(n, netip.MustParseAddr(server), "10.1.2.3", "/target")
}

func TestNFSMountCall(t *testing.T) {
	for name, c := range map[string]struct {
		export initapi.NFS
		server string
		want   mounted
	}{
		"plain": {initapi.NFS{Server: "nfs.example.org", Path: "/data"}, "192.0.2.7",
			mounted{"nfs.example.org:/data", "nfs", unix.MS_NODEV, "vers=4.2,addr=192.0.2.7,clientaddr=10.1.2.3"}},
		"read-only, with options": {initapi.NFS{Server: "192.0.2.7", Path: "/a b", ReadOnly: true, Flags: []string{"noexec", "nosuid"}, Options: "soft,timeo=50"}, "192.0.2.7",
			mounted{"192.0.2.7:/a b", "nfs", unix.MS_NODEV | unix.MS_RDONLY | unix.MS_NOEXEC | unix.MS_NOSUID, "vers=4.2,soft,timeo=50,addr=192.0.2.7,clientaddr=10.1.2.3"}},
		"IPv6": {initapi.NFS{Server: "2001:db8::7", Path: "/d", Options: "vers=4.1"}, "2001:db8::7",
			mounted{"[2001:db8::7]:/d", "nfs", unix.MS_NODEV, "vers=4.1,addr=2001:db8::7,clientaddr=10.1.2.3"}},
		"version 3 keeps locks here": {initapi.NFS{Server: "s", Path: "/d", Options: "vers=3"}, "192.0.2.7",
			mounted{"s:/d", "nfs", unix.MS_NODEV, "vers=3,nolock,addr=192.0.2.7"}},
		"version 3 that says so": {initapi.NFS{Server: "s", Path: "/d", Options: "nolock,vers=3"}, "192.0.2.7",
			mounted{"s:/d", "nfs", unix.MS_NODEV, "nolock,vers=3,addr=192.0.2.7"}},
	} {
		t.Run(name, func(t *testing.T) {
			calls, err := mountWith(c.export, c.server, nil)
			if err != nil || len(calls) != 1 || calls[0] != c.want {
				t.Errorf("calls = %+v, %v\nwant %+v", calls, err, c.want)
			}
		})
	}
}

// TestNFSVersions are tried until one is answered, unless the options name one.
func TestNFSVersions(t *testing.T) {
	plain := initapi.NFS{Server: "s", Path: "/d"}
	named := plain
	named.Options = "hard,vers=4.1"
	for name, c := range map[string]struct {
		export  initapi.NFS
		answers []error
		tried   []string
		kind    initapi.Kind // "" is success
		words   string
	}{
		"the newest":           {plain, []error{nil}, []string{"4.2"}, "", ""},
		"an old server":        {plain, []error{unix.EPROTONOSUPPORT, unix.EPROTONOSUPPORT, unix.EPROTONOSUPPORT, nil}, []string{"4.2", "4.1", "4.0", "3"}, "", ""},
		"an old kernel":        {plain, []error{unix.EINVAL, nil}, []string{"4.2", "4.1"}, "", ""},
		"one that is named":    {named, []error{unix.EPROTONOSUPPORT}, []string{"4.1"}, initapi.KindAway, "protocol not supported"},
		"refused":              {plain, []error{unix.EACCES}, []string{"4.2"}, initapi.KindAway, "mount s:/d: permission denied"},
		"no answer":            {plain, []error{unix.ETIMEDOUT}, []string{"4.2"}, initapi.KindAway, "timed out"},
		"no such export":       {plain, []error{unix.ENOENT, unix.ENOENT, unix.ENOENT, unix.ECONNREFUSED}, []string{"4.2", "4.1", "4.0", "3"}, initapi.KindAway, "no such file"},
		"a kernel without NFS": {plain, []error{unix.ENODEV}, []string{"4.2"}, initapi.KindFailed, "kernel has no NFS client"},
	} {
		t.Run(name, func(t *testing.T) {
			calls, err := mountWith(c.export, "192.0.2.7", c.answers...)
			var tried []string
			for _, call := range calls {
				for option := range strings.SplitSeq(call.data, ",") {
					if version, ok := strings.CutPrefix(option, "vers="); ok {
						tried = append(tried, version)
					}
				}
			}
			if !slices.Equal(tried, c.tried) {
				t.Errorf("tried %v, want %v", tried, c.tried)
			}
			var known *initapi.Error
			if c.kind == "" && err != nil || c.kind != "" && (!errors.As(err, &known) || known.Kind != c.kind || !strings.Contains(known.Message, c.words)) {
				t.Errorf("err = %v, want %s with %q", err, c.kind, c.words)
			}
		})
	}
}

// TestNFSServerHangs: a second call does not wait behind the one that does.
func TestNFSServerHangs(t *testing.T) {
	e := &Exports{}
	e.mounting.Lock()
	var known *initapi.Error
	if err := e.Add(initapi.NFS{Name: "n", Server: "192.0.2.7", Path: "/d"}); !errors.As(err, &known) || known.Kind != initapi.KindAway {
		t.Errorf("add() while another mount hangs = %v", err)
	}
	e.mounting.Unlock()
	for _, name := range []string{"", "..", "a/b"} {
		if err := e.Add(initapi.NFS{Name: name}); !errors.As(err, &known) || known.Kind != initapi.KindInvalid {
			t.Errorf("add() of name %q = %v", name, err)
		}
	}
}

func TestServerAddress(t *testing.T) {
	if got, err := serverAddress("::ffff:192.0.2.7"); err != nil || got != netip.MustParseAddr("192.0.2.7") {
		t.Errorf("of an address: %v, %v", got, err)
	}
	var known *initapi.Error
	for _, server := range []string{"localhost", "127.0.0.1", "::1", "169.254.169.254"} {
		if got, err := serverAddress(server); !errors.As(err, &known) || known.Kind != initapi.KindOutside {
			t.Errorf("of %s: %v, %v", server, got, err)
		}
	}
}
