package kit

import (
	"bytes"
	"strings"
	"sync"
)

// Log keeps a process's output. The zero value is ready.
type Log struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write adds to it.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

// String is all of it.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// Tail is the last n lines, without the end of the last one.
func (l *Log) Tail(n int) string {
	lines := strings.SplitAfter(strings.TrimSuffix(l.String(), "\n"), "\n")
	return strings.Join(lines[max(len(lines)-n, 0):], "")
}

// About is the lines that have one of the words.
func (l *Log) About(words ...string) string {
	var out strings.Builder
	for line := range strings.Lines(l.String()) {
		for _, word := range words {
			if word != "" && strings.Contains(line, word) {
				out.WriteString(line)
				break
			}
		}
	}
	return out.String()
}
