package access

import (
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"strings"

	"github.com/containerd/errdefs"
)

// Token is a bearer token (RFC 6750) that a file holds.
type Token struct{ file *watched[[sha256.Size]byte] }

// minToken is what nobody guesses over a network.
const minToken = 16

// OpenToken reads the token of a file: one line, of at least 16 characters. The
// file must not be accessible to everybody on the host. Errors are for people
// and never hold the token.
func OpenToken(path string) (*Token, error) {
	const key = "BearerTokenFile"
	file, err := watch(func() (sum [sha256.Size]byte, err error) {
		text, err := read(key, path, true)
		if err != nil {
			return sum, err
		}
		text = bytes.TrimSpace(text)
		if len(text) < minToken || bytes.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			return sum, fmt.Errorf("%s: %s must hold one token of at least %d printable characters, such as the output of: openssl rand -hex 32: %w",
				key, path, minToken, errdefs.ErrInvalidArgument)
		}
		return sha256.Sum256(text), nil
	}, path)
	if err != nil {
		return nil, err
	}
	return &Token{file}, nil
}

// Allows tells whether an Authorization header carries the token. How long that
// takes says nothing about the token.
func (t *Token) Allows(authorization string) bool {
	scheme, given, _ := strings.Cut(authorization, " ")
	want, got := t.file.current(), sha256.Sum256([]byte(strings.TrimSpace(given)))
	return subtle.ConstantTimeCompare(want[:], got[:]) == 1 && strings.EqualFold(scheme, "Bearer")
}
