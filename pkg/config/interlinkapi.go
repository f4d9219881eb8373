package config

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// InterlinkAPI is the address where docker-sd answers Virtual Kubelets, as interLink's API
// server does.
type InterlinkAPI struct {
	// Address is HOST:PORT or unix://PATH, "" for none; use Listen.
	Address string
	Callers
}

const (
	interlinkRule = "HOST:PORT such as 0.0.0.0:3000, or unix://PATH with the path of a file, at most 107 bytes long"
	interlinkOff  = "set together with the other keys of InterlinkAPI"
	interlinkWide = "a loopback address or a unix:// socket, unless InterlinkAPI has TLSCertFile, TLSKeyFile and one of TLSClientCAFile and BearerTokenFile: " +
		"a caller that reaches it can run pods"
)

func (a *InterlinkAPI) settings() []setting {
	return append([]setting{{key: "Address", dst: &a.Address}}, a.Callers.settings()...)
}

// On tells whether docker-sd answers Virtual Kubelets.
func (a InterlinkAPI) On() bool { return a.Address != "" }

// Listen returns the network ("tcp" or "unix") and the address as net.Listen takes them. It
// returns empty strings where the API is off or a is not valid.
func (a InterlinkAPI) Listen() (network, address string) {
	network, address, err := a.listen()
	if err != nil {
		return "", ""
	}
	return network, address
}

func (a InterlinkAPI) listen() (network, address string, err error) {
	const key = "InterlinkAPI.Address"
	if !a.On() {
		return "", "", nil
	}
	if strings.HasPrefix(a.Address, unixScheme) {
		path, err := socketPath(key, a.Address)
		return "unix", path, err
	}
	host, port, err := net.SplitHostPort(a.Address)
	if err != nil || host == "" {
		// Without a host it would be all interfaces, which has to be asked for.
		return "", "", invalid(key, a.Address, interlinkRule)
	}
	if number, err := strconv.Atoi(port); err != nil || number < 0 || number > 65535 {
		return "", "", invalid(key, a.Address, interlinkRule)
	}
	return "tcp", a.Address, nil
}

// validate refuses an address that others than this host reach without proof of who they
// are: to call is to run containers here, and no cluster needs it open.
func (a InterlinkAPI) validate() error {
	if !a.On() && a.Callers != (Callers{}) {
		return invalid("InterlinkAPI.Address", "", interlinkOff)
	}
	network, address, err := a.listen()
	if err != nil {
		return err
	}
	if err := a.Callers.validate("InterlinkAPI."); err != nil {
		return err
	}
	if network == "tcp" && !isLoopback(address) && !(a.TLS() && a.proven()) {
		return invalid("InterlinkAPI.Address", a.Address, interlinkWide)
	}
	return nil
}

// isLoopback tells whether only this host reaches an address HOST:PORT. A name may lead
// anywhere, except for localhost.
func isLoopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}
