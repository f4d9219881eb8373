//go:build !unprotected

package initbinary

const name = "files/docker-sd-init"
