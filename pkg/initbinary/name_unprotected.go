//go:build unprotected

package initbinary

import "embed"

// The program of the attacker's tests, which opens sources by name. No other docker-sd
// carries it.
//
//go:embed all:unprotected
var files embed.FS

const name = "unprotected/docker-sd-init"
