package initbinary

import "embed"

// The program of the tunnel is the same in every docker-sd. As with the init, a text beside
// it lets packages compile before it was built.
//
//go:embed all:tunnel
var tunnel embed.FS

const tunnelName = "tunnel/docker-sd-tunnel"
