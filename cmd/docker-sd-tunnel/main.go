// Command docker-sd-tunnel joins a sandbox to the network of a cluster. The init of the
// sandbox runs it. It is static, and docker-sd carries it.
package main

import (
	"os"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/tunnel"
)

func main() { os.Exit(tunnel.Main()) }
