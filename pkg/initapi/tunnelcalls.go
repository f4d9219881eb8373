package initapi

import (
	"context"
	"fmt"

	"github.com/containerd/errdefs"
)

// OpenTunnel has the sandbox join the network that the wish describes. It returns before
// the tunnel is up. The same wish again changes nothing, another one replaces the tunnel.
func (c *Client) OpenTunnel(ctx context.Context, t Tunnel) error {
	_, err := c.call(ctx, Request{Op: OpTunnel, Tunnel: &t})
	return err
}

// TunnelState asks how the sandbox's tunnel is.
func (c *Client) TunnelState(ctx context.Context) (TunnelState, error) {
	answer, err := c.call(ctx, Request{Op: OpTunnelState})
	if err != nil {
		return TunnelState{}, err
	}
	if answer.Tunnel == nil {
		return TunnelState{}, fmt.Errorf("the sandbox's init tells no state of its tunnel: %w", errdefs.ErrUnknown)
	}
	return *answer.Tunnel, nil
}
