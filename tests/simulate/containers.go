package main

import (
	"encoding/binary"
	"encoding/json"
	"net/http"
	"net/netip"
	"path/filepath"
	"slices"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// container is one of an engine's; the engine's lock guards it.
type container struct {
	id, name string
	config   containerConfig
	status   string
	exitCode int
	created  time.Time
	started  time.Time
	finished time.Time
	// ended is closed while the container does not run.
	ended chan struct{}
	// network that it is in, by name; "" for none at all.
	network string
	// inner is the engine of a sandbox.
	inner *fakeEngine
}

type containerConfig struct {
	Image      string
	Env        []string
	Entrypoint []string
	Labels     map[string]string
	HostConfig struct {
		NetworkMode string
		Mounts      []struct{ Source, Target string }
	}
}

// folder is where the init of a sandbox makes its sockets, "" for other containers.
func (c *container) folder() string {
	for _, m := range c.config.HostConfig.Mounts {
		if m.Target == initapi.FolderPath {
			return m.Source
		}
	}
	return ""
}

// end stops what runs; the engine's lock is held.
func (c *container) end(code int) {
	if c.status != "running" {
		return
	}
	c.status, c.exitCode, c.finished = "exited", code, time.Now()
	close(c.ended)
}

func closedChannel() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}

func (e *fakeEngine) createContainer(w http.ResponseWriter, r *http.Request) {
	c := &container{id: newID(), name: r.URL.Query().Get("name"), status: "created", created: time.Now(), ended: closedChannel()}
	if !read(w, r, &c.config) {
		return
	}
	if c.name == "" {
		c.name = c.id[:12]
	}
	c.network = c.config.HostConfig.NetworkMode
	e.mu.Lock()
	taken := e.find(c.name) != nil
	if !taken {
		e.containers[c.id] = c
	}
	e.mu.Unlock()
	if taken {
		refuse(w, http.StatusConflict, "the container name "+c.name+" is already in use")
		return
	}
	answer(w, http.StatusCreated, map[string]any{"Id": c.id, "Warnings": []string{}})
}

// find looks for a container by id or name; the lock is held.
func (e *fakeEngine) find(nameOrID string) *container {
	if c := e.containers[nameOrID]; c != nil {
		return c
	}
	for _, c := range e.containers {
		if c.name == nameOrID {
			return c
		}
	}
	return nil
}

// of makes a handler out of one for the container that the path names. It is
// called with the engine's lock held, and answers after it has let go of that.
func (e *fakeEngine) of(do func(*container, *http.Request) func(http.ResponseWriter)) http.HandlerFunc {
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
		reply(w)
	}
}

func says(code int) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) { w.WriteHeader(code) }
}

func (e *fakeEngine) start(c *container, _ *http.Request) func(http.ResponseWriter) {
	if c.status == "running" {
		return says(http.StatusNotModified)
	}
	c.status, c.started, c.ended = "running", time.Now(), make(chan struct{})
	if slices.Equal(c.config.Entrypoint, initapi.TrueCommand()) {
		c.end(0)
	}
	if folder := c.folder(); folder != "" {
		c.inner = newFakeEngine(e.calls.inside, 0)
		e.group.Go(func() { e.runSandbox(c.inner, folder, c.ended) })
	}
	return says(http.StatusNoContent)
}

// runSandbox serves the init and the engine in a sandbox until the sandbox ends.
func (e *fakeEngine) runSandbox(inner *fakeEngine, folder string, ended <-chan struct{}) {
	defer inner.close()
	init, err := startInit(folder, e.calls.inside)
	if err != nil {
		e.calls.unexpected(err.Error())
		return
	}
	defer init.close()
	select {
	case <-time.After(e.boot):
	case <-ended:
		return
	}
	if err := inner.listen(filepath.Join(folder, initapi.EngineSocket)); err != nil {
		e.calls.unexpected(err.Error())
	}
	<-ended
}

func (e *fakeEngine) stop(c *container, _ *http.Request) func(http.ResponseWriter) {
	if c.status != "running" {
		return says(http.StatusNotModified)
	}
	c.end(143)
	return says(http.StatusNoContent)
}

func (e *fakeEngine) rename(c *container, r *http.Request) func(http.ResponseWriter) {
	name := r.URL.Query().Get("name")
	if other := e.find(name); other != nil && other != c {
		return func(w http.ResponseWriter) {
			refuse(w, http.StatusConflict, "the container name "+name+" is already in use")
		}
	}
	c.name = name
	return says(http.StatusNoContent)
}

// update takes bounds and keeps none: nothing runs here.
func (e *fakeEngine) update(*container, *http.Request) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) { answer(w, http.StatusOK, map[string]any{"Warnings": []string{}}) }
}

// listVolumes: these engines leave none behind.
func (e *fakeEngine) listVolumes(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]any{"Volumes": []any{}, "Warnings": []string{}})
}

func (e *fakeEngine) remove(c *container, _ *http.Request) func(http.ResponseWriter) {
	c.end(137)
	delete(e.containers, c.id)
	return says(http.StatusNoContent)
}

// wait answers at once that it waits, and when the container has ended, how.
func (e *fakeEngine) wait(c *container, r *http.Request) func(http.ResponseWriter) {
	ended := c.ended
	return func(w http.ResponseWriter) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusOK)
		_ = http.NewResponseController(w).Flush()
		select {
		case <-r.Context().Done():
			return
		case <-ended:
		}
		e.mu.Lock()
		code := c.exitCode
		e.mu.Unlock()
		_ = json.NewEncoder(w).Encode(map[string]int{"StatusCode": code})
	}
}

func (e *fakeEngine) logs(*container, *http.Request) func(http.ResponseWriter) {
	const line = "hello\n"
	frame := append(binary.BigEndian.AppendUint32([]byte{1, 0, 0, 0}, uint32(len(line))), line...)
	return func(w http.ResponseWriter) { _, _ = w.Write(frame) }
}

func (e *fakeEngine) inspect(c *container, _ *http.Request) func(http.ResponseWriter) {
	state := map[string]any{"Status": c.status, "Running": c.status == "running", "ExitCode": c.exitCode,
		"StartedAt": c.started.Format(time.RFC3339Nano), "FinishedAt": c.finished.Format(time.RFC3339Nano)}
	body := map[string]any{"Id": c.id, "Name": "/" + c.name, "Image": imageID, "Created": c.created.Format(time.RFC3339Nano),
		"State": state, "HostConfig": map[string]any{},
		"Config":          map[string]any{"Image": c.config.Image, "Labels": c.config.Labels, "Env": c.config.Env},
		"NetworkSettings": map[string]any{"Networks": map[string]any{c.network: map[string]string{"IPAddress": e.address(c)}}}}
	return func(w http.ResponseWriter) { answer(w, http.StatusOK, body) }
}

// address is the first behind the gateway's; the lock is held.
func (e *fakeEngine) address(c *container) string {
	for _, n := range e.networks {
		if n.Name != c.network || len(n.IPAM.Config) == 0 {
			continue
		}
		if prefix, err := netip.ParsePrefix(n.IPAM.Config[0].Subnet); err == nil {
			return prefix.Addr().Next().Next().String()
		}
	}
	return ""
}

func (e *fakeEngine) listContainers(w http.ResponseWriter, r *http.Request) {
	labels, ok := wanted(w, r)
	if !ok {
		return
	}
	found := []map[string]any{}
	e.mu.Lock()
	for _, c := range e.containers {
		if carries(c.config.Labels, labels) {
			found = append(found, map[string]any{"Id": c.id, "Names": []string{"/" + c.name}, "Image": c.config.Image, "ImageID": imageID,
				"Labels": c.config.Labels, "State": c.status, "Created": c.created.Unix()})
		}
	}
	e.mu.Unlock()
	answer(w, http.StatusOK, found)
}

// census counts what an engine holds: sandboxes, networks, and containers that
// run in sandboxes.
func (e *fakeEngine) census() (sandboxes, networks, running int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range e.containers {
		if c.inner == nil {
			continue
		}
		sandboxes++
		running += c.inner.running()
	}
	return sandboxes, len(e.networks), running
}

func (e *fakeEngine) running() (n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range e.containers {
		if c.status == "running" {
			n++
		}
	}
	return n
}
