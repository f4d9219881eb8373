package wstunnel

import (
	"fmt"
	"net"

	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
)

// purpose is what a tunnel is for, in the form of the server's own tokens.
type purpose any

// timeout of an idle tunnel at the server; nil is none.
type timeout struct {
	Timeout *struct{} `json:"timeout"`
}

// The purposes of tunnels.
var (
	purposeUDP     purpose = map[string]any{"Udp": timeout{}}
	purposeTCP     purpose = map[string]any{"Tcp": map[string]bool{"proxy_protocol": false}}
	purposeReverse purpose = "ReverseTcp"
)

// claims of a token.
type claims struct {
	ID         string  `json:"id"`
	Protocol   purpose `json:"p"`
	Remote     string  `json:"r"`
	RemotePort uint16  `json:"rp"`
	jwt.RegisteredClaims
}

// token asks for a tunnel to an address HOST:PORT at the server.
func (c *Client) token(what purpose, address string) (string, error) {
	host, portText, err := net.SplitHostPort(address)
	if err != nil {
		return "", fmt.Errorf("the far address %s: %w", address, err)
	}
	port, err := portOf(portText)
	if err != nil || host == "" {
		return "", fmt.Errorf("the far address %s is not HOST:PORT", address)
	}
	id, err := uuid.NewV7()
	if err != nil {
		return "", err
	}
	if ip := net.ParseIP(host); ip != nil && ip.To4() == nil {
		host = "[" + host + "]" // as the server reads a host
	}
	return jwt.NewWithClaims(jwt.SigningMethodHS256, claims{ID: id.String(), Protocol: what, Remote: host, RemotePort: port}).SignedString(c.key)
}
