package kit

import (
	"errors"
	"fmt"
	"strings"
)

// Marks around the script in docs/install.md.
const (
	scriptBegin = "<!-- tests run these lines -->"
	scriptEnd   = "<!-- end -->"
)

// mostOfScript is how many lines the script may have.
const mostOfScript = 12

// Script takes the lines out of docs/install.md that lead from a fresh machine to the other
// end of a virtual node.
func Script(guide string) (string, error) {
	_, rest, begun := strings.Cut(guide, scriptBegin)
	block, _, ended := strings.Cut(rest, scriptEnd)
	if !begun || !ended {
		return "", errors.New("docs/install.md has no script between its marks")
	}
	var out strings.Builder
	lines := strings.Split(strings.Trim(block, "\n"), "\n")
	for _, line := range lines {
		out.WriteString(strings.TrimPrefix(line, "    ") + "\n")
	}
	if len(lines) > mostOfScript {
		return "", fmt.Errorf("the script has %d lines, more than %d", len(lines), mostOfScript)
	}
	return out.String(), nil
}
