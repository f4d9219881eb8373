package enginetest

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
)

// container of an engine, whose lock guards it.
type container struct {
	id, name string
	image    *image
	config   containerConfig
	// host is HostConfig as it was sent, with its updates.
	host    map[string]any
	created time.Time
	state   state
	// removed says that it is not there any more.
	removed bool
	// unseen says that it has ended while the engine was down.
	unseen bool
	// networks by name, with the address while it runs.
	networks map[string]string
	// volumes that it has, of which anonymous ones go with it.
	volumes   []string
	anonymous []string
	process   *Process
	log       []piece
	written   int64
}

// state of a container, as far as an inspect tells it.
type state struct {
	status            string
	code, pid         int
	oom               bool
	problem           string
	started, finished time.Time
}

// containerConfig is the part of a create that matters here.
type containerConfig struct {
	Image      string
	Hostname   string
	User       string
	Env        []string
	Entrypoint []string
	Cmd        []string
	WorkingDir string
	Labels     map[string]string
	StopSignal string
	Tty        bool
	HostConfig hostConfig
}

// hostConfig is the part of a HostConfig that matters here.
type hostConfig struct {
	NetworkMode string
	GroupAdd    []string
	Mounts      []struct {
		Type, Source, Target string
		ReadOnly             bool
		VolumeOptions        struct{ Labels map[string]string }
	}
}

// Container is what a test sees of one.
type Container struct {
	ID, Name, Image string
	// Status as the engine names it.
	Status   string
	ExitCode int
	Labels   map[string]string
	// Argv is the entrypoint with its arguments.
	Argv, Env []string
	User      string
	GroupAdd  []string
	// Networks that it is in.
	Networks []string
	Mounts   []Mount
}

// Mount of a container.
type Mount struct {
	Type, Source, Target string
	ReadOnly             bool
}

// alive says that the container has a process, running or paused.
func (c *container) alive() bool { return c.state.status == "running" || c.state.status == "paused" }

// view is a copy of what tests may see.
func (c *container) view() Container {
	out := Container{ID: c.id, Name: c.name, Image: c.config.Image, Status: c.state.status, ExitCode: c.state.code,
		Labels: maps.Clone(c.config.Labels), Argv: c.argv(), Env: slices.Clone(c.config.Env), User: c.config.User, GroupAdd: slices.Clone(c.config.HostConfig.GroupAdd),
		Networks: slices.Sorted(maps.Keys(c.networks))}
	for _, m := range c.config.HostConfig.Mounts {
		out.Mounts = append(out.Mounts, Mount{Type: m.Type, Source: m.Source, Target: m.Target, ReadOnly: m.ReadOnly})
	}
	return out
}

// argv is what a container runs: an entrypoint of its own drops the image's command.
func (c *container) argv() []string {
	entrypoint, command := c.config.Entrypoint, c.config.Cmd
	if len(entrypoint) == 0 {
		entrypoint = c.image.Entrypoint
		if len(command) == 0 {
			command = c.image.Cmd
		}
	}
	return slices.Concat(entrypoint, command)
}

// find a container by name, id or the beginning of one; the lock is held.
func (e *Engine) find(nameOrID string) *container {
	if c := e.containers[nameOrID]; c != nil {
		return c
	}
	nameOrID = strings.TrimPrefix(nameOrID, "/")
	for _, c := range e.containers {
		if c.name == nameOrID || len(nameOrID) >= 12 && strings.HasPrefix(c.id, nameOrID) {
			return c
		}
	}
	return nil
}

// of makes a handler out of one for the container that the path names, which is called
// with the lock held and answers after it has let go of that.
func (e *Engine) of(do func(*container, *http.Request) http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		e.mu.Lock()
		c := e.find(r.PathValue("id"))
		if c == nil {
			e.mu.Unlock()
			refuse(w, http.StatusNotFound, "No such container: "+r.PathValue("id"))
			return
		}
		reply := do(c, r)
		e.mu.Unlock()
		reply(w, r)
	}
}

// says is an answer without a body, refuses one with a message.
func says(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// refuses is a handler that answers with a code and a message.
func refuses(code int, format string, args ...any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { refuse(w, code, fmt.Sprintf(format, args...)) }
}

// answers is a handler that answers with a code and JSON.
func answers(code int, body any) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { answer(w, code, body) }
}

// validName is Docker's rule for names of containers.
var validName = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_.-]+$`)

// createContainer answers POST /containers/create: the image must be there, and the name free.
func (e *Engine) createContainer(w http.ResponseWriter, r *http.Request) {
	var body json.RawMessage
	var host struct{ HostConfig map[string]any }
	c := &container{name: r.URL.Query().Get("name"), networks: map[string]string{}, state: state{status: "created"}}
	if !read(w, r, &body) {
		return
	}
	if err := json.Unmarshal(body, &c.config); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	_ = json.Unmarshal(body, &host) // it has been read above
	c.host = host.HostConfig
	e.mu.Lock()
	reply := e.enter(c)
	e.mu.Unlock()
	reply(w, r)
}

// enter checks a new container and adds it; the lock is held.
func (e *Engine) enter(c *container) http.HandlerFunc {
	if c.name != "" && !validName.MatchString(c.name) {
		return refuses(http.StatusBadRequest, "Invalid container name (%s), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", c.name)
	}
	if c.image = e.findImage(c.config.Image); c.image == nil {
		return refuses(http.StatusNotFound, "No such image: %s", c.config.Image)
	}
	if len(c.argv()) == 0 {
		return refuses(http.StatusBadRequest, "no command specified")
	}
	if other := e.find(c.name); c.name != "" && other != nil {
		return refuses(http.StatusConflict, "Conflict. The container name \"/%s\" is already in use by container %q. "+
			"You have to remove (or rename) that container to be able to reuse that name.", c.name, other.id)
	}
	c.id, c.created = e.newID("container"), e.now()
	if c.name == "" {
		c.name = "unnamed_" + c.id[:12]
	}
	mode := c.config.HostConfig.NetworkMode
	switch {
	case strings.HasPrefix(mode, "container:"): // it has none of its own
	case mode == "" || mode == "default":
		c.networks["bridge"] = ""
	default:
		if n := e.findNetwork(mode); n != nil {
			mode = n.Name
		}
		c.networks[mode] = ""
	}
	e.mountVolumes(c)
	e.containers[c.id] = c
	e.tell("container", "create", c.id, map[string]string{"name": c.name})
	return answers(http.StatusCreated, map[string]any{"Id": c.id, "Warnings": []string{}})
}

// inspectContainer answers GET /containers/{id}/json, with the size of the writable layer if that is asked for.
func (e *Engine) inspectContainer(c *container, r *http.Request) http.HandlerFunc {
	networks := map[string]any{}
	for name, address := range c.networks {
		networks[name] = map[string]any{"IPAddress": address}
	}
	body := map[string]any{"Id": c.id, "Name": "/" + c.name, "Image": c.image.ID, "Created": stamp(c.created),
		"State": map[string]any{"Status": c.state.status, "Running": c.alive(), "Paused": c.state.status == "paused",
			"ExitCode": c.state.code, "OOMKilled": c.state.oom, "Error": c.state.problem, "Pid": c.state.pid,
			"StartedAt": stamp(c.state.started), "FinishedAt": stamp(c.state.finished)},
		"HostConfig": maps.Clone(c.host),
		"Config": map[string]any{"Image": c.config.Image, "Labels": maps.Clone(c.config.Labels), "Env": slices.Concat(c.image.Env, c.config.Env),
			"Tty": c.config.Tty, "User": c.config.User},
		"NetworkSettings": map[string]any{"Networks": networks}}
	if r.URL.Query().Get("size") == "1" {
		body["SizeRw"] = c.written
	}
	return answers(http.StatusOK, body)
}

// listContainers answers GET /containers/json for all containers that fit the filters.
func (e *Engine) listContainers(w http.ResponseWriter, r *http.Request) {
	wanted, ok := filters(w, r)
	if !ok {
		return
	}
	all := r.URL.Query().Get("all") == "1"
	found := []map[string]any{}
	e.mu.Lock()
	for _, c := range e.containers {
		if carries(c.config.Labels, wanted["label"]) && (all || c.alive()) {
			found = append(found, map[string]any{"Id": c.id, "Names": []string{"/" + c.name}, "Image": c.config.Image, "ImageID": c.image.ID,
				"Labels": maps.Clone(c.config.Labels), "State": c.state.status, "Created": c.created.Unix()})
		}
	}
	e.mu.Unlock()
	answer(w, http.StatusOK, found)
}

// renameContainer answers POST /containers/{id}/rename; a name that is taken is a conflict.
func (e *Engine) renameContainer(c *container, r *http.Request) http.HandlerFunc {
	name := r.URL.Query().Get("name")
	switch other := e.find(name); {
	case !validName.MatchString(name):
		return refuses(http.StatusBadRequest, "Invalid container name (%s), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed", name)
	case c.name == name:
		return refuses(http.StatusBadRequest, "Renaming a container with the same name as its current name")
	case other != nil:
		return refuses(http.StatusConflict, "Conflict. The container name \"/%s\" is already in use by container %q.", name, other.id)
	}
	c.name = name
	e.broadcast()
	return says(http.StatusNoContent)
}

// updateContainer answers POST /containers/{id}/update with new bounds.
func (e *Engine) updateContainer(c *container, r *http.Request) http.HandlerFunc {
	var wanted map[string]any
	if err := json.NewDecoder(r.Body).Decode(&wanted); err != nil {
		return refuses(http.StatusBadRequest, "%s", err)
	}
	for _, name := range []string{"NanoCpus", "CpuShares", "Memory", "MemorySwap", "PidsLimit"} {
		// An engine takes nothing as "leave it".
		if value, set := wanted[name].(float64); set && value != 0 {
			c.host[name] = value
		}
	}
	e.broadcast()
	return answers(http.StatusOK, map[string]any{"Warnings": []string{}})
}

// removeContainer answers DELETE /containers/{id}; one that runs is a conflict, unless it is forced.
func (e *Engine) removeContainer(c *container, r *http.Request) http.HandlerFunc {
	query := r.URL.Query()
	if c.alive() && query.Get("force") != "1" {
		return refuses(http.StatusConflict, "You cannot remove a running container %s. Stop the container before attempting removal or force remove", c.id)
	}
	return func(w http.ResponseWriter, _ *http.Request) {
		e.Exit(c.id, sigkilled)
		e.mu.Lock()
		e.forget(c, query.Get("v") == "1")
		e.mu.Unlock()
		w.WriteHeader(http.StatusNoContent)
	}
}

// forget a container that does not run; the lock is held.
func (e *Engine) forget(c *container, volumes bool) {
	if c.removed {
		return
	}
	c.removed = true
	delete(e.containers, c.id)
	if volumes {
		for _, name := range c.anonymous {
			delete(e.volumes, name)
		}
	}
	e.tell("container", "destroy", c.id, map[string]string{"name": c.name})
}

// Lose has the engine forget a container, which is killed.
func (e *Engine) Lose(nameOrID string) {
	e.Exit(nameOrID, sigkilled)
	e.mu.Lock()
	defer e.mu.Unlock()
	if c := e.find(nameOrID); c != nil {
		e.forget(c, true)
	}
}

// SetWritten gives a container's writable layer a size in bytes.
func (e *Engine) SetWritten(nameOrID string, bytes int64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if c := e.find(nameOrID); c != nil {
		c.written = bytes
	}
}
