// Package hostfiles reads what the containers of pods take over from the host: its time zone
// and the certificates of its site's authorities.
package hostfiles

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/containerd/errdefs"
)

// zones is where systems have the files of time zones.
const zones = "usr/share/zoneinfo"

// OwnZone is the name of a time zone that stands for the host's.
const OwnZone = "host"

// Zone is a time zone, in the words of the IANA and as the file that programs read.
type Zone struct {
	Name string
	Data []byte
}

// ReadZone reads a time zone of the host, whose root folder is given. OwnZone is the host's
// own.
func ReadZone(root fs.FS, name string) (Zone, error) {
	if name == OwnZone {
		own, err := ownZone(root)
		if err != nil {
			return Zone{}, err
		}
		name = own
	}
	data, err := fs.ReadFile(root, path.Join(zones, name))
	if err == nil && !bytes.HasPrefix(data, []byte("TZif")) { // RFC 9636
		err = errors.New("it is no file of a time zone")
	}
	if err != nil {
		return Zone{}, fmt.Errorf("time zone %s of this host: correct the name, or install tzdata: %w", name, err)
	}
	return Zone{Name: name, Data: data}, nil
}

// ownZone is the name of the host's: that of the file which /etc/localtime leads to, or what
// Debian keeps beside it.
func ownZone(root fs.FS) (string, error) {
	target, err := fs.ReadLink(root, "etc/localtime")
	if _, name, found := strings.Cut(target, "/zoneinfo/"); err == nil && found {
		return path.Clean(name), nil
	}
	if text, err := fs.ReadFile(root, "etc/timezone"); err == nil {
		name := strings.TrimSpace(string(text))
		if fs.ValidPath(name) {
			return name, nil
		}
	}
	return "", fmt.Errorf("this host does not tell its time zone: /etc/localtime is no link to one: name the zone in place of %s: %w", OwnZone, errdefs.ErrNotFound)
}

// maxAuthorities bounds the file of certificates, in bytes. The bundle of all public
// authorities has a quarter of it.
const maxAuthorities = 1 << 20

// ReadAuthorities reads the certificates in a file of PEM blocks and returns them and nothing
// else: a key that stands beside them stays on the host.
func ReadAuthorities(root fs.FS, name string) ([]byte, error) {
	info, err := fs.Stat(root, name)
	if err == nil && info.Size() > maxAuthorities {
		err = fmt.Errorf("it has more than %d bytes: %w", maxAuthorities, errdefs.ErrInvalidArgument)
	}
	var text []byte
	if err == nil {
		text, err = fs.ReadFile(root, name)
	}
	if err != nil {
		return nil, fmt.Errorf("read the certificates of authorities in /%s: %w", name, err)
	}
	var out bytes.Buffer
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return nil, fmt.Errorf("certificate of an authority in /%s: %w", name, err)
		}
		block.Headers = nil
		if err := pem.Encode(&out, block); err != nil {
			return nil, err
		}
	}
	if out.Len() == 0 {
		return nil, fmt.Errorf("/%s has no certificate in PEM blocks: %w", name, errdefs.ErrInvalidArgument)
	}
	return out.Bytes(), nil
}
