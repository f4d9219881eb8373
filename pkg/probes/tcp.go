package probes

import (
	"context"
	"net"
	"strconv"

	v1 "k8s.io/api/core/v1"
)

// probeTCP succeeds when the port accepts a connection.
func (t Target) probeTCP(ctx context.Context, a *v1.TCPSocketAction) Result {
	host, port, err := t.address(a.Host, a.Port)
	if err != nil {
		return unknown("%v", err)
	}
	conn, err := dialer(t.PodIP()).DialContext(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err != nil {
		return failure("%v", err)
	}
	// The connection was made, which is all the probe asks; how it ends says nothing more.
	_ = conn.Close()
	return success("")
}
