package config

import (
	"net"
	"net/url"
	"path/filepath"
	"strconv"
	"strings"
)

const (
	unixScheme = "unix://"
	// maxSocketPath is the size of sun_path in bytes without its final zero.
	maxSocketPath = 107

	socketRule = "unix://PATH with the path of a file, at most 107 bytes long"
	urlRule    = "http://HOST or unix://PATH, as the interLink API takes it: no port (that is SidecarPort), no path; " +
		"https://HOST needs TLSCertFile, and something between the API and this port that speaks TLS"
	portRule = "a port from 1 to 65535, or 0 for any free port"
)

// Listen returns the network ("tcp" or "unix") and the address to listen on,
// as net.Listen takes them. interLink has neither TLS nor authentication on this hop
// (protocol 1.1), so the default is the loopback interface and a wider one has to be asked for:
// http://0.0.0.0 in SidecarURL. It returns empty strings if c is not valid.
func (c Config) Listen() (network, address string) {
	network, address, err := c.listen()
	if err != nil {
		return "", ""
	}
	return network, address
}

func (c Config) listen() (network, address string, err error) {
	if c.Socket != "" {
		path, err := socketPath("Socket", c.Socket)
		return "unix", path, err
	}
	if strings.HasPrefix(c.SidecarURL, unixScheme) {
		path, err := socketPath("SidecarURL", c.SidecarURL)
		return "unix", path, err
	}
	if c.SidecarPort < 0 || c.SidecarPort > 65535 {
		return "", "", invalid("SidecarPort", strconv.Itoa(c.SidecarPort), portRule)
	}
	host := "127.0.0.1"
	if c.SidecarURL != "" {
		if host, err = hostOf(c.SidecarURL, c.Access.TLS()); err != nil {
			return "", "", err
		}
	}
	return "tcp", net.JoinHostPort(host, strconv.Itoa(c.SidecarPort)), nil
}

// socketPath returns the path of a unix:// address. A name starting with @
// is refused: Linux takes it as an abstract socket, which no file mode protects.
func socketPath(key, value string) (string, error) {
	path, ok := strings.CutPrefix(value, unixScheme)
	if !ok || path == "" || path[0] == '@' || strings.HasSuffix(path, "/") || strings.ContainsRune(path, 0) {
		return "", invalid(key, value, socketRule)
	}
	if path = filepath.Clean(path); len(path) > maxSocketPath {
		return "", invalid(key, value, socketRule)
	}
	return path, nil
}

func hostOf(value string, secure bool) (string, error) {
	u, err := url.Parse(value)
	if err != nil || u.Scheme != "http" && (u.Scheme != "https" || !secure) || u.Hostname() == "" || u.Port() != "" || strings.HasSuffix(u.Host, ":") ||
		u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
		return "", invalid("SidecarURL", value, urlRule)
	}
	return u.Hostname(), nil
}
