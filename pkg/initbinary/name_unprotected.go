//go:build unprotected

package initbinary

// The program of the attacker's tests, which opens sources by name.
const name = "files/docker-sd-init-unprotected"
