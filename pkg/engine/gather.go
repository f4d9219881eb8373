package engine

import (
	"io"
	"time"
)

// gathered reads a long log in pieces that are worth a system call. An engine
// writes line by line; who takes each line at once is woken for each, and slows
// down the engine, which has to wake it.
type gathered struct {
	io.Reader
	total int64
	last  int
}

const (
	// gatherAfter is how many bytes are read as they come: short logs do not wait.
	gatherAfter = 64 << 10
	// gatherBelow is how many bytes were too few to ask again at once.
	gatherBelow = 2 << 10
	// gatherPause is the time for more: at most what the socket holds meanwhile.
	gatherPause = 500 * time.Microsecond
)

// Read waits gatherPause before it reads where the last read gave little.
func (g *gathered) Read(b []byte) (int, error) {
	if g.total > gatherAfter && g.last < gatherBelow {
		time.Sleep(gatherPause)
	}
	n, err := g.Reader.Read(b)
	g.total, g.last = g.total+int64(n), n
	return n, err
}
