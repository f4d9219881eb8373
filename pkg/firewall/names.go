package firewall

import (
	"crypto/sha256"
	"encoding/base32"
	"strings"
)

// family is that of the names of sandboxes' bridges, whatever the instance.
const family = "dsd"

// code is a short digest for the names of interfaces, which have 15 bytes.
func code(text string, length int) string {
	sum := sha256.Sum256([]byte(text))
	return strings.ToLower(base32.StdEncoding.EncodeToString(sum[:]))[:length]
}

// prefix is what the names of all bridges of an instance begin with.
func prefix(instance string) string { return family + code(instance, 4) }

// Table is the name of an instance's table, of the family inet.
func Table(instance string) string { return "docker-sd-" + instance }
