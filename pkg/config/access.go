package config

import "strings"

// Access says who may call and what calls may cost. interLink itself knows
// neither token nor TLS on this hop (protocol 1.1), so all of it is off unless set.
type Access struct {
	// TokenFile (BearerTokenFile) holds the token that callers must send.
	TokenFile string
	// CertFile (TLSCertFile) and KeyFile (TLSKeyFile) turn on TLS, ClientCAFile
	// (TLSClientCAFile) asks callers for certificates as well.
	CertFile     string
	KeyFile      string
	ClientCAFile string
	// AllowedHosts are names of this host under which callers may ask, beside
	// localhost, IP addresses, those of SidecarURL and AdminAddress, and the machine's own.
	AllowedHosts []string
	// MaxRequests is the number of calls at once, beside followed logs.
	MaxRequests int
	// MaxRequestMemory bounds the bodies of all calls, in bytes, and once more
	// what they are decoded into.
	MaxRequestMemory int64
}

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
