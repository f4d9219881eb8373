// Command docker-sd-init is the first process of a sandbox. It is static, carries
// nothing of the host's, and is brought into each sandbox by docker-sd.
package main

import (
	"os"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandboxinit"
)

func main() { os.Exit(sandboxinit.Main(os.Args)) }
