package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// PullProgress is how far a pull is. The sizes are those of the layers as the
// registry sends them, compressed.
type PullProgress struct {
	// Done and Total are in bytes, of the layers that are not here yet and whose
	// size is known.
	Done, Total int64
	// Unsized layers are waiting for their turn: engines tell a layer's size when
	// they begin to fetch it.
	Unsized int
	// Unpacking says that all layers are here and being unpacked.
	Unpacking bool
}

// Percent of the bytes that have come, 0 while nothing is known.
func (p PullProgress) Percent() int64 {
	if p.Total == 0 {
		return 0
	}
	return p.Done * 100 / p.Total
}

// layer of an image that is being pulled, with its sizes in bytes.
type layer struct {
	done, total int64
	fetched     bool
}

// layers of an image that is being pulled, by id.
type layers map[string]layer

// note takes in one message and tells whether it said something of a layer.
func (l layers) note(m progress) bool {
	if m.ID == "" || strings.HasPrefix(m.Status, "Pulling from") {
		return false
	}
	seen := l[m.ID]
	switch m.Status {
	case "Pulling fs layer", "Waiting":
	case "Downloading":
		seen.done, seen.total = m.Detail.Current, max(m.Detail.Total, seen.total)
	case "Download complete", "Verifying Checksum", "Extracting", "Pull complete":
		seen.done, seen.fetched = seen.total, true
	case "Already exists":
		seen = layer{fetched: true}
	default:
		return false
	}
	l[m.ID] = seen
	return true
}

// sum is the progress of all layers: bytes that have come and bytes in all, as far as their
// sizes are known.
func (l layers) sum() PullProgress {
	sum := PullProgress{Unpacking: len(l) > 0}
	for _, one := range l {
		sum.Done += min(one.done, one.total)
		sum.Total += one.total
		if !one.fetched {
			sum.Unpacking = false
			if one.total == 0 {
				sum.Unsized++
			}
		}
	}
	return sum
}

// progress is one message of the engine's pull and load streams.
type progress struct {
	ID     string `json:"id"`
	Status string `json:"status"`
	Stream string `json:"stream"`
	Error  string `json:"error"`
	Detail struct {
		Current int64 `json:"current"`
		Total   int64 `json:"total"`
	} `json:"progressDetail"`
}

// readProgress drains a stream to its end; the engine reports failures inside
// it, after a status of 200. each may be nil.
func readProgress(r io.Reader, each func(progress)) (lines []string, err error) {
	decoder := json.NewDecoder(r)
	for {
		var p progress
		if err := decoder.Decode(&p); errors.Is(err, io.EOF) {
			return lines, nil
		} else if err != nil {
			return lines, fmt.Errorf("read the engine's progress: %w", err)
		}
		if p.Error != "" {
			return lines, errors.New(p.Error)
		}
		if p.Stream != "" {
			lines = append(lines, p.Stream)
		}
		if each != nil {
			each(p)
		}
	}
}
