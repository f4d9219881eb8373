package hostfiles_test

import (
	"bytes"
	"io/fs"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/hostfiles"
	"github.com/intertwin-eu/interlink-docker-plugin/tests/certificates"
)

func file(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }

func link(to string) *fstest.MapFile {
	return &fstest.MapFile{Data: []byte(to), Mode: fs.ModeSymlink | 0o777}
}

func TestReadZone(t *testing.T) {
	berlin := file("TZif2 and more")
	for _, test := range []struct {
		name, zone string
		root       fstest.MapFS
		want, err  string
	}{
		{"by its name", "Europe/Berlin", fstest.MapFS{"usr/share/zoneinfo/Europe/Berlin": berlin}, "Europe/Berlin", ""},
		{"absolute link", "host", fstest.MapFS{"etc/localtime": link("/usr/share/zoneinfo/Europe/Berlin"), "usr/share/zoneinfo/Europe/Berlin": berlin}, "Europe/Berlin", ""},
		{"relative link", "host", fstest.MapFS{"etc/localtime": link("../usr/share/zoneinfo/Etc/UTC"), "usr/share/zoneinfo/Etc/UTC": berlin}, "Etc/UTC", ""},
		{"Debian's file", "host", fstest.MapFS{"etc/localtime": berlin, "etc/timezone": file("Europe/Berlin\n"), "usr/share/zoneinfo/Europe/Berlin": berlin}, "Europe/Berlin", ""},
		{"a copy", "host", fstest.MapFS{"etc/localtime": berlin}, "", "name the zone"},
		{"a file that climbs", "host", fstest.MapFS{"etc/timezone": file("../../etc/shadow")}, "", "name the zone"},
		{"none", "Europe/Atlantis", fstest.MapFS{}, "", "install tzdata"},
		{"no zone", "tzdata.zi", fstest.MapFS{"usr/share/zoneinfo/tzdata.zi": file("# version 2026a")}, "", "no file of a time zone"},
	} {
		got, err := hostfiles.ReadZone(test.root, test.zone)
		switch {
		case test.err == "" && (err != nil || got.Name != test.want || !bytes.Equal(got.Data, berlin.Data)):
			t.Errorf("%s: %+v, %v", test.name, got, err)
		case test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)):
			t.Errorf("%s: error %v, want %q", test.name, err, test.err)
		}
	}
}

func TestReadAuthorities(t *testing.T) {
	one, two := certificates.New(t, "one", nil), certificates.New(t, "two", nil)
	for _, test := range []struct{ name, text, want, err string }{
		{"two and a key", "# ours\n" + one.PEM() + one.KeyPEM(t) + two.PEM(), one.PEM() + two.PEM(), ""},
		{"a key", one.KeyPEM(t), "", "no certificate"},
		{"nothing", "", "", "no certificate"},
		{"broken", strings.Replace(one.PEM(), "MII", "MIA", 1), "", "certificate of an authority"},
		{"huge", strings.Repeat(one.PEM(), 3000), "", "more than"},
	} {
		got, err := hostfiles.ReadAuthorities(fstest.MapFS{"etc/ca.pem": file(test.text)}, "etc/ca.pem")
		switch {
		case test.err == "" && (err != nil || string(got) != test.want):
			t.Errorf("%s: %q, %v", test.name, got, err)
		case test.err != "" && (err == nil || !strings.Contains(err.Error(), test.err)):
			t.Errorf("%s: error %v, want %q", test.name, err, test.err)
		}
	}
	if _, err := hostfiles.ReadAuthorities(fstest.MapFS{}, "etc/ca.pem"); err == nil {
		t.Error("a file that is not there has certificates")
	}
}
