package config

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/containerd/errdefs"
)

// valueError says in one line which setting is wrong and what it may be.
type valueError struct {
	key     string
	value   string
	allowed string
}

func (e *valueError) Error() string {
	return fmt.Sprintf("%s: %s is not allowed, it must be %s", e.key, e.value, e.allowed)
}

func (e *valueError) Unwrap() error { return errdefs.ErrInvalidArgument }

// invalid reports value, which must be printable by %q, as wrong for key.
func invalid(key, value, allowed string) error {
	const longest = 100
	shown := strconv.QuoteToASCII(value)
	if len(value) > longest {
		shown = strconv.QuoteToASCII(value[:longest]) + "..."
	}
	if confidential(key, value) {
		shown = "the value (not shown)"
	}
	return &valueError{key: key, value: shown, allowed: allowed}
}

// confidential tells whether value may be a credential: by the name of its
// key, or because an address has a user part, which can hold a password.
func confidential(key, value string) bool {
	lower := strings.ToLower(key)
	for _, word := range []string{"token", "secret", "passw", "credential", "private", "apikey", "_key"} {
		if strings.Contains(lower, word) {
			return true
		}
	}
	address := lower == "sidecarurl" || lower == "docker_host" || lower == "telemetry_endpoint" || strings.HasSuffix(lower, "proxy")
	return address && strings.Contains(value, "@")
}
