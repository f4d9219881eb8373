package admin

import (
	"bytes"
	"fmt"
	"unicode"
	"unicode/utf8"
)

// visible writes out the characters of a page that cannot be seen and change how others are
// read: those that steer terminals, that turn the direction of text around, and that take no
// room. Pods choose names and words in it, and what a reader copies from it may end in a
// terminal. The page itself has none of them.
func visible(page []byte) []byte {
	var out bytes.Buffer
	out.Grow(len(page))
	for len(page) > 0 {
		r, size := utf8.DecodeRune(page)
		switch {
		case r == utf8.RuneError:
			out.WriteRune(r) // also for bytes that are no text
		case hidden(r):
			fmt.Fprintf(&out, "\u27e8U+%04X\u27e9", r)
		default:
			out.Write(page[:size])
		}
		page = page[size:]
	}
	return out.Bytes()
}

// hidden characters are those without a shape of their own. Two of them are needed to write
// Persian and the scripts of India.
func hidden(r rune) bool {
	const nonJoiner, joiner = '\u200c', '\u200d'
	return r != '\n' && r != '\t' && r != nonJoiner && r != joiner && unicode.In(r, unicode.Cc, unicode.Cf, unicode.Zl, unicode.Zp)
}
