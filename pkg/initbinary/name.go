//go:build !unprotected

package initbinary

import "embed"

// The folder holds a text beside the program, so that packages compile and are
// checked before the program was built.
//
//go:embed all:files
var files embed.FS

const name = "files/docker-sd-init"
