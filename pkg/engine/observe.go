package engine

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Call is one request to an engine.
type Call struct {
	// Operation is a kind of object and what is done with it, such as "container start".
	Operation string
	// Code is the HTTP status, 0 if there was no answer.
	Code int
	// Took is the time until the answer began.
	Took time.Duration
}

// observed tells of every request that goes through a transport. Those whose
// connection becomes a stream do not.
type observed struct {
	http.RoundTripper
	tell func(Call)
}

// RoundTrip reports the request with the code of its answer, 0 for none, and the time until
// the answer's headers.
func (o *observed) RoundTrip(r *http.Request) (*http.Response, error) {
	call, began := Call{Operation: operation(r.Method, r.URL.Path)}, time.Now()
	response, err := o.RoundTripper.RoundTrip(r)
	if err == nil {
		call.Code = response.StatusCode
	}
	call.Took = time.Since(began)
	o.tell(call)
	return response, err
}

// versionPrefix of a path in the engine's API.
var versionPrefix = regexp.MustCompile(`^/v[0-9.]+/`)

// kinds of objects in the engine's API, and what is done with them.
var (
	kinds = map[string]string{"containers": "container", "images": "image", "networks": "network", "exec": "exec"}
	verbs = []string{"create", "start", "stop", "kill", "wait", "rename", "logs", "exec", "archive", "load", "get", "resize"}
)

// operation names a request; there are only so many names.
func operation(method, path string) string {
	parts := strings.Split(strings.Trim(versionPrefix.ReplaceAllString(path, "/"), "/"), "/")
	kind, last := kinds[parts[0]], parts[len(parts)-1]
	switch {
	case kind == "" && slices.Contains([]string{"_ping", "info", "version", "events"}, last):
		return strings.TrimPrefix(last, "_")
	case kind == "":
		return "other"
	case method == http.MethodDelete:
		return kind + " remove"
	case len(parts) == 1, last == "json" && len(parts) == 2:
		return kind + " list"
	case last == "json":
		return kind + " inspect"
	case slices.Contains(verbs, last):
		return kind + " " + last
	}
	return kind + " other"
}
