package config

import "strings"

// TLS tells whether TLS is spoken on the port or socket.
func (a Access) TLS() bool { return a.CertFile != "" }

func (a *Access) files() []*string {
	return []*string{&a.TokenFile, &a.CertFile, &a.KeyFile, &a.ClientCAFile}
}

func (c Config) validateAccess() error {
	a := c.Access
	switch {
	case (a.CertFile == "") != (a.KeyFile == ""):
		return invalid("TLSCertFile", a.CertFile, "set together with TLSKeyFile")
	case a.ClientCAFile != "" && a.CertFile == "":
		return invalid("TLSClientCAFile", a.ClientCAFile, "set together with TLSCertFile and TLSKeyFile")
	}
	for _, name := range a.AllowedHosts {
		// Not the rules of DNS: names in compose files have underscores.
		if name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || strings.ContainsRune("/:*@,", r) }) {
			return invalid("AllowedHosts", name, "a host name such as node.example.org, without a port")
		}
	}
	return nil
}
