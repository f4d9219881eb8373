package config

// Access says who may call and what calls may cost. interLink itself knows
// neither token nor TLS on this hop (contract 1.1), so all of it is off unless set.
type Access struct {
	// TokenFile (BearerTokenFile) holds the token that callers must send.
	TokenFile string
	// CertFile (TLSCertFile) and KeyFile (TLSKeyFile) turn on TLS, ClientCAFile
	// (TLSClientCAFile) asks callers for certificates as well.
	CertFile     string
	KeyFile      string
	ClientCAFile string
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
	return nil
}
