package engine

// Client speaks to one engine: the host's, or the one in a sandbox. Its parts are the areas
// of the Docker API. Safe for concurrent use. Errors carry containerd/errdefs classes.
type Client struct {
	*connection
	systemAPI
	containerAPI
	execAPI
	imageAPI
	networkAPI
	volumeAPI
}

// Connect makes a client for the engine at host (unix:///path or
// tcp://host:port; "" means the platform's default socket). Nothing is dialled
// yet. The API version is negotiated at the first call, so that engines from
// 20.10 on are understood. observers are told of every request. An address of another
// kind is ErrInvalidArgument.
func Connect(host string, observers ...func(Call)) (*Client, error) {
	c, err := newConnection(host, observers)
	if err != nil {
		return nil, err
	}
	return &Client{connection: c, systemAPI: systemAPI{c}, containerAPI: containerAPI{c, waitPeriod}, execAPI: execAPI{c}, imageAPI: imageAPI{c},
		networkAPI: networkAPI{c}, volumeAPI: volumeAPI{c}}, nil
}

// Close drops idle connections.
func (c *Client) Close() error { return c.close() }
