package probes

import (
	"fmt"
	"strings"
)

// maxMessage bounds every message, in bytes; kubelet reads as much from a probe.
const maxMessage = 10 << 10

// Outcome is what one probe found.
type Outcome int

const (
	// Unknown means that the probe could not be made. Kubelet does not count it.
	Unknown Outcome = iota
	// Success means that the container answered as it should.
	Success
	// Failure means that the container answered wrongly, or not in time.
	Failure
)

// String returns the outcome as a word for logs.
func (o Outcome) String() string {
	switch o {
	case Success:
		return "success"
	case Failure:
		return "failure"
	default:
		return "unknown"
	}
}

// Result is the outcome of one probe. Message explains it, at most 10 KiB of valid UTF-8; of a command it is the
// output, of the other handlers it never holds what the container answered. A success with a message is a warning.
type Result struct {
	Outcome Outcome
	Message string
}

func success(warning string) Result { return Result{Success, warning} }

func failure(format string, args ...any) Result { return Result{Failure, fmt.Sprintf(format, args...)} }

func unknown(format string, args ...any) Result { return Result{Unknown, fmt.Sprintf(format, args...)} }

// bounded makes a message safe to be stored and sent as JSON.
func bounded(message string) string {
	if len(message) > maxMessage {
		message = message[:maxMessage]
	}
	return strings.ToValidUTF8(message, "")
}
