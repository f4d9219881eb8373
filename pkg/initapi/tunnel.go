package initapi

import "time"

// Tunnel is the wish of OpTunnel: how a sandbox joins the network of a cluster. It has
// been checked by docker-sd; the init checks it again for form only.
type Tunnel struct {
	// Server is the wstunnel server: ws://HOST:PORT or wss://HOST:PORT.
	Server string `json:"server"`
	// PathPrefix is the first part of the request's path, the secret of this pod.
	PathPrefix string `json:"pathPrefix"`
	// CAs are further certificate authorities of the server, as PEM.
	CAs string `json:"cas,omitempty"`
	// Insecure leaves the server's certificate unchecked.
	Insecure bool `json:"insecure,omitempty"`
	// Proxy is the URL of an HTTP proxy on the way to the server; empty means none.
	Proxy string `json:"proxy,omitempty"`
	// Reverse are the ports at which the server listens for the pod.
	Reverse []Reverse `json:"reverse,omitempty"`
	// Own are addresses, as prefixes, that the sandbox has on its loopback interface: that
	// by which the cluster knows the pod, so that the pod can call itself by it.
	Own []string `json:"own,omitempty"`
	// WireGuard is the mesh; nil in tunnel mode.
	WireGuard *WireGuard `json:"wireGuard,omitempty"`
}

// Reverse is one port that the server listens at, and where its connections lead to.
type Reverse struct {
	// Listen is HOST:PORT at the server.
	Listen string `json:"listen"`
	// Target is HOST:PORT in the sandbox.
	Target string `json:"target"`
}

// WireGuard is an interface of the sandbox whose peer is reached through the wstunnel server.
type WireGuard struct {
	// Interface is the name of the network interface.
	Interface string `json:"interface"`
	// PrivateKey and PeerKey are 32 bytes in base64.
	PrivateKey string `json:"privateKey"`
	PeerKey    string `json:"peerKey"`
	// Addresses of the interface, AllowedIPs of the peer and Routes are prefixes.
	Addresses  []string `json:"addresses"`
	AllowedIPs []string `json:"allowedIPs"`
	Routes     []string `json:"routes"`
	// Remote is HOST:PORT of the peer as the server reaches it, by UDP.
	Remote string `json:"remote"`
	// MTU of the interface in bytes.
	MTU int `json:"mtu"`
	// KeepaliveSeconds is the pause between two keepalives; 0 means none.
	KeepaliveSeconds int `json:"keepaliveSeconds,omitempty"`
}

// TunnelState is what OpTunnelState answers, and never holds a key.
type TunnelState struct {
	// Wanted says that an OpTunnel was accepted.
	Wanted bool `json:"wanted"`
	// Up says that the tunnel carries data: the WireGuard handshake was answered, or, in
	// tunnel mode, every port waits at the server.
	Up bool `json:"up"`
	// Changed is when Up last changed.
	Changed time.Time `json:"changed,omitzero"`
	// Error is the reason of the last failure, for the pod's user.
	Error string `json:"error,omitempty"`
	// Handshake is when the peer last answered, in mesh mode.
	Handshake time.Time `json:"handshake,omitzero"`
	// Received and Sent are bytes of payload since the tunnel's process was started.
	Received int64 `json:"received"`
	Sent     int64 `json:"sent"`
	// Reconnections to the server, and Starts of the tunnel's process, since OpTunnel.
	Reconnections int `json:"reconnections"`
	Starts        int `json:"starts"`
}
