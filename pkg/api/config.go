package api

import (
	"context"
	"crypto/tls"
	"net/http"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/access"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/interlink"
)

// Observer is told of calls. Its methods must not block.
type Observer interface {
	// Begin is told of a call; the function that it returns is called once, with the
	// code of the answer.
	Begin(r *http.Request, route string) (context.Context, func(code int))
	// About is told which pod the call of ctx is about.
	About(ctx context.Context, podUID string)
}

// unobserved is an Observer that nobody listens to.
type unobserved struct{}

func (unobserved) About(context.Context, string) {}

func (unobserved) Begin(r *http.Request, _ string) (context.Context, func(code int)) {
	return r.Context(), func(int) {}
}

// Config of a Server.
type Config struct {
	// Ping answers an empty status request; it must not block.
	Ping func() interlink.Ping
	// Troubles lists why this node does not work as it should, for /readyz.
	Troubles func() []string
	// Observer is told of calls; nil means nobody is.
	Observer Observer
	// MaxBody bounds a request's body in bytes.
	MaxBody int64
	// MaxFollowers bounds how many logs are followed at a time, MaxCalls how many
	// other calls there are.
	MaxFollowers, MaxCalls int
	// MaxMemory bounds the bytes of all bodies at a time, and those of what they
	// are decoded into; it is never less than MaxBody.
	MaxMemory int64
	// Plugin is what callers of the sidecar protocol bring along, Interlink what
	// Virtual Kubelets do.
	Plugin, Interlink Callers
}

// Callers says what those of one address have to bring along.
type Callers struct {
	// Authorized, if set, decides by the header of that name who may call. The
	// health routes stay open and then say no more than whether all is well.
	Authorized func(header string) bool
	// Hosts, if set, are the names under which the server may be asked over TCP.
	// Where callers have to prove who they are it says no more than that.
	Hosts access.Hosts
	// TLS, if set, is spoken instead of plain HTTP.
	TLS *tls.Config
}
