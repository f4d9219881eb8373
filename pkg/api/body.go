package api

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// What a JSON value of a body takes when decoded, in bytes: up to a container of
// a pod, or a container of a pod that is polled.
const (
	createdValue = 512
	otherValue   = 64
)

// decoded is a request's body once read; free gives its memory back.
type decoded[T any] struct {
	value T
	free  func()
}

// read takes a request's body whatever the method, and decodes it. The memory
// for both is reserved first.
func read[T any](s *Server, w http.ResponseWriter, r *http.Request, perValue int64, decode func([]byte) (T, error)) (decoded[T], error) {
	l := &s.limits
	size, memory := r.ContentLength, max(l.config.MaxMemory, l.config.MaxBody)
	if size > l.config.MaxBody {
		return decoded[T]{}, l.tooLarge()
	}
	if size < 0 {
		size = l.config.MaxBody // it does not say
	}
	if err := wait(r.Context(), l.bodies, size); err != nil {
		return decoded[T]{}, l.noMemory(err)
	}
	buffer := buffers.Get().(*bytes.Buffer)
	defer putBuffer(buffer)
	if err := l.body(w, r, buffer); err != nil {
		l.bodies.Release(size)
		return decoded[T]{}, err
	}
	body := buffer.Bytes()
	cost := int64(0)
	for _, c := range []string{",", "[", "{"} {
		cost += perValue * int64(bytes.Count(body, []byte(c)))
	}
	cost = min(cost, memory)
	if err := wait(r.Context(), l.values, cost); err != nil {
		l.bodies.Release(size)
		return decoded[T]{}, l.noMemory(err)
	}
	out := decoded[T]{free: func() {
		l.values.Release(cost)
		l.bodies.Release(size)
	}}
	value, err := decode(body)
	if err != nil {
		out.free()
		return out, malformed(err)
	}
	out.value = value
	return out, nil
}

// buffers of bodies are used again, because no decoder keeps a part of what it
// reads. A poll of a hundred pods took half its time for the memory that it left
// to be collected.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// Sizes of buffers in bytes: what is made ready for a body that announces more,
// and what is kept for the next one.
const (
	firstBuffer = 1 << 20
	keptBuffer  = 4 << 20
)

func putBuffer(b *bytes.Buffer) {
	if b.Cap() <= keptBuffer {
		b.Reset()
		buffers.Put(b)
	}
}

// body reads within its limit of bytes and of time.
func (l *limits) body(w http.ResponseWriter, r *http.Request, into *bytes.Buffer) error {
	// The deadline is for the body alone: left in place, it would end a followed log.
	control := http.NewResponseController(w)
	if err := control.SetReadDeadline(time.Now().Add(bodyTimeout)); err != nil {
		return fmt.Errorf("bound the reading of the body: %w", err)
	}
	// A body in one piece is read in one piece; MinRead is for the end.
	into.Grow(int(min(max(r.ContentLength, 0), firstBuffer)) + bytes.MinRead)
	_, err := into.ReadFrom(http.MaxBytesReader(w, r.Body, l.config.MaxBody))
	tooLarge := &http.MaxBytesError{}
	switch {
	case errors.As(err, &tooLarge):
		return l.tooLarge()
	case err != nil:
		return malformed(fmt.Errorf("read the body: %w", err))
	}
	return control.SetReadDeadline(time.Time{})
}
