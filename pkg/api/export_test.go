package api

import "net/http"

// What the tests of this package look at from outside.
var (
	Message  = message
	LogQuery = logQuery
)

const (
	MaxErrorText    = maxErrorText
	MaxSinceSeconds = maxSinceSeconds
	BodyTimeout     = bodyTimeout
	ReadyTimeout    = readyTimeout
	IdleTimeout     = idleTimeout
	QueueTimeout    = queueTimeout
)

func (s *Server) Handler() http.Handler          { return s.plugin.http.Handler }
func (s *Server) InterlinkHandler() http.Handler { return s.interlink.http.Handler }
func (s *Server) HTTPServer() *http.Server       { return s.plugin.http }
