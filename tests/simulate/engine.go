package main

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"
)

// apiVersion that the engines offer; docker-sd and they agree on it.
const apiVersion = "1.44"

// fakeEngine pretends to be a Docker engine, a host's or the one in a sandbox. Its
// containers are entries in a table: they run until they are stopped.
type fakeEngine struct {
	calls *tally
	// boot is how long an engine in a sandbox takes to answer; it costs nothing.
	boot   time.Duration
	server *http.Server
	group  sync.WaitGroup

	mu         sync.Mutex
	closed     bool
	containers map[string]*container
	networks   map[string]*network
}

func newFakeEngine(calls *tally, boot time.Duration) *fakeEngine {
	e := &fakeEngine{calls: calls, boot: boot, containers: map[string]*container{}, networks: map[string]*network{}}
	e.server = &http.Server{Handler: unversioned(e.routes()), ErrorLog: log.New(io.Discard, "", 0), ReadHeaderTimeout: time.Minute}
	return e
}

// routes are the part of the Docker API that docker-sd uses for plain pods. What
// else is asked for is noted and refused.
func (e *fakeEngine) routes() http.Handler {
	mux := http.NewServeMux()
	for pattern, answer := range map[string]http.HandlerFunc{
		pingCall:                       e.ping,
		"GET /info":                    e.info,
		"GET /events":                  e.events,
		listCall:                       e.listContainers,
		"POST /containers/create":      e.createContainer,
		"GET /containers/{id}/json":    e.of(e.inspect),
		"GET /containers/{id}/logs":    e.of(e.logs),
		"POST /containers/{id}/start":  e.of(e.start),
		"POST /containers/{id}/stop":   e.of(e.stop),
		"POST /containers/{id}/rename": e.of(e.rename),
		"POST /containers/{id}/update": e.of(e.update),
		waitCall:                       e.of(e.wait),
		volumesCall:                    e.listVolumes,
		"DELETE /containers/{id}":      e.of(e.remove),
		networksCall:                   e.listNetworks,
		"POST /networks/create":        e.createNetwork,
		"DELETE /networks/{id}":        e.removeNetwork,
		// A container has one network at most.
		"POST /networks/{id}/disconnect": e.moving(func(*http.Request) string { return "" }),
		"POST /networks/{id}/connect":    e.moving(func(r *http.Request) string { return r.PathValue("id") }),
		"GET /images/{name...}":          e.image,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			e.calls.note(pattern)
			answer(w, r)
		})
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		e.calls.unexpected(r.Method + " " + r.URL.Path)
		refuse(w, http.StatusNotImplemented, "these engines cannot do that")
	})
	return mux
}

// Calls that docker-sd makes on a host where nothing happens: signs of life, the
// search for strays, and waits that are renewed.
const (
	pingCall     = "GET /_ping" // of HEAD too
	listCall     = "GET /containers/json"
	networksCall = "GET /networks"
	volumesCall  = "GET /volumes"
	waitCall     = "POST /containers/{id}/wait"
)

var versionPrefix = regexp.MustCompile(`^/v[0-9.]+/`)

func unversioned(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.URL.Path = versionPrefix.ReplaceAllString(r.URL.Path, "/")
		next.ServeHTTP(w, r)
	})
}

// listen serves on a socket. One that has been closed does not begin.
func (e *fakeEngine) listen(path string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed {
		return nil
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return fmt.Errorf("serve an engine: %w", err)
	}
	e.group.Go(func() {
		if err := e.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			e.calls.unexpected(fmt.Sprintf("an engine ended: %s", err))
		}
	})
	return nil
}

// close ends the engine and those in its sandboxes.
func (e *fakeEngine) close() {
	e.mu.Lock()
	e.closed = true
	for _, c := range e.containers {
		c.end(137)
	}
	e.mu.Unlock()
	_ = e.server.Close() // of a listener that is gone already
	e.group.Wait()
}

func (e *fakeEngine) ping(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Api-Version", apiVersion)
	w.Header().Set("Ostype", "linux")
}

func (e *fakeEngine) info(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]any{"ServerVersion": "28.0.0", "Driver": "overlay2", "DockerRootDir": "/var/lib/docker",
		"NCPU": 64, "MemTotal": int64(256) << 30, "CgroupVersion": "2", "LiveRestore": true, "Runtimes": map[string]any{"runc": map[string]any{}}})
}

// events is a stream on which nothing happens: no image comes or goes.
func (e *fakeEngine) events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusOK)
	_ = http.NewResponseController(w).Flush()
	<-r.Context().Done()
}

// imageID of every image: all that is asked for is there, and shared.
const imageID = "sha256:" + "51de0000000000000000000000000000000000000000000000000000000000aa"

func (e *fakeEngine) image(w http.ResponseWriter, r *http.Request) {
	name, found := strings.CutSuffix(r.PathValue("name"), "/json")
	if !found {
		refuse(w, http.StatusNotFound, "page not found")
		return
	}
	answer(w, http.StatusOK, map[string]any{"Id": imageID, "RepoTags": []string{name}, "Size": 1 << 20, "Config": map[string]any{}})
}

type network struct {
	ID      string `json:"Id"`
	Name    string
	Labels  map[string]string
	Created time.Time
	IPAM    struct {
		Config []struct{ Subnet string }
	}
}

func (e *fakeEngine) createNetwork(w http.ResponseWriter, r *http.Request) {
	n := &network{}
	if !read(w, r, n) {
		return
	}
	n.ID, n.Created = newID(), time.Now()
	e.mu.Lock()
	e.networks[n.ID] = n
	e.mu.Unlock()
	answer(w, http.StatusCreated, map[string]string{"Id": n.ID})
}

func (e *fakeEngine) listNetworks(w http.ResponseWriter, r *http.Request) {
	labels, ok := wanted(w, r)
	if !ok {
		return
	}
	found := []*network{}
	e.mu.Lock()
	for _, n := range e.networks {
		if carries(n.Labels, labels) {
			found = append(found, n)
		}
	}
	e.mu.Unlock()
	answer(w, http.StatusOK, found)
}

func (e *fakeEngine) removeNetwork(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	e.mu.Lock()
	_, found := e.networks[id]
	delete(e.networks, id)
	e.mu.Unlock()
	if !found {
		refuse(w, http.StatusNotFound, "network "+id+" not found")
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// moving puts the container that a request names into another network.
func (e *fakeEngine) moving(to func(*http.Request) string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var body struct{ Container string }
		if !read(w, r, &body) {
			return
		}
		e.mu.Lock()
		c := e.find(body.Container)
		if c != nil {
			c.network = to(r)
		}
		e.mu.Unlock()
		if c == nil {
			refuse(w, http.StatusNotFound, "No such container: "+body.Container)
			return
		}
		w.WriteHeader(http.StatusOK)
	}
}

func newID() string {
	var id [32]byte
	_, _ = rand.Read(id[:]) // never fails
	return hex.EncodeToString(id[:])
}

// wanted are the labels in a list's filters, each a name or name=value.
func wanted(w http.ResponseWriter, r *http.Request) ([]string, bool) {
	var filters struct {
		Label map[string]bool `json:"label"`
	}
	text := r.URL.Query().Get("filters")
	if err := json.Unmarshal([]byte(text), &filters); err != nil && text != "" {
		refuse(w, http.StatusBadRequest, err.Error())
		return nil, false
	}
	var out []string
	for label := range filters.Label {
		out = append(out, label)
	}
	return out, true
}

func carries(has map[string]string, labels []string) bool {
	return !slices.ContainsFunc(labels, func(label string) bool {
		name, value, exact := strings.Cut(label, "=")
		got, found := has[name]
		return !found || exact && got != value
	})
}

func read(w http.ResponseWriter, r *http.Request, into any) bool {
	err := json.NewDecoder(r.Body).Decode(into)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
	}
	return err == nil
}

func refuse(w http.ResponseWriter, code int, message string) {
	answer(w, code, map[string]string{"message": message})
}

// answer writes JSON; a client that has left does not matter.
func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body)
}
