package config

import "strings"

// Callers are the files by which the callers of one address prove who they are.
type Callers struct {
	// TokenFile (BearerTokenFile) holds the token that callers must send.
	TokenFile string
	// CertFile (TLSCertFile) and KeyFile (TLSKeyFile) turn on TLS, ClientCAFile
	// (TLSClientCAFile) asks callers for certificates as well.
	CertFile     string
	KeyFile      string
	ClientCAFile string
}

// TLS tells whether TLS is spoken on the port or socket.
func (c Callers) TLS() bool { return c.CertFile != "" }

// proven tells whether callers have to show that they may call.
func (c Callers) proven() bool { return c.TokenFile != "" || c.ClientCAFile != "" }

func (c *Callers) files() []*string {
	return []*string{&c.TokenFile, &c.CertFile, &c.KeyFile, &c.ClientCAFile}
}

// settings are the keys of the files.
func (c *Callers) settings() []setting {
	return []setting{
		{key: "BearerTokenFile", dst: &c.TokenFile},
		{key: "TLSCertFile", dst: &c.CertFile},
		{key: "TLSKeyFile", dst: &c.KeyFile},
		{key: "TLSClientCAFile", dst: &c.ClientCAFile},
	}
}

// validate checks which of the files are there; keys is what comes before their keys.
func (c Callers) validate(keys string) error {
	switch {
	case (c.CertFile == "") != (c.KeyFile == ""):
		return invalid(keys+"TLSCertFile", c.CertFile, "set together with "+keys+"TLSKeyFile")
	case c.ClientCAFile != "" && c.CertFile == "":
		return invalid(keys+"TLSClientCAFile", c.ClientCAFile, "set together with "+keys+"TLSCertFile and "+keys+"TLSKeyFile")
	}
	return nil
}

func (c Config) validateAccess() error {
	if err := c.Access.validate(""); err != nil {
		return err
	}
	for _, name := range c.Access.AllowedHosts {
		// Not the rules of DNS: names in compose files have underscores.
		if name == "" || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || strings.ContainsRune("/:*@,", r) }) {
			return invalid("AllowedHosts", name, "a host name such as node.example.org, without a port")
		}
	}
	return nil
}
