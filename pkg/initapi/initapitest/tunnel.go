package initapitest

import "github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"

// SetTunnel has the sandbox's tunnel, once it is asked for, be in a state. Before that, and
// after a restart of the sandbox until it is asked for again, it is not wanted and not up.
func (i *Init) SetTunnel(state initapi.TunnelState) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.tunnel = state
}

// tunnelState is what the init answers.
func (i *Init) tunnelState(wanted bool) initapi.TunnelState {
	i.mu.Lock()
	defer i.mu.Unlock()
	if !wanted {
		return initapi.TunnelState{}
	}
	state := i.tunnel
	state.Wanted = true
	return state
}
