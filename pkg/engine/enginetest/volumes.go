package enginetest

import (
	"net/http"
	"path"
	"slices"
)

// volume of an engine.
type volume struct {
	Name       string
	Driver     string
	Mountpoint string
	Labels     map[string]string
	Scope      string
}

// mountVolumes makes those of a new container that do not exist; the lock is held.
func (e *Engine) mountVolumes(c *container) {
	for _, m := range c.config.HostConfig.Mounts {
		if m.Type != "volume" {
			continue
		}
		name := m.Source
		if name == "" {
			name = e.newID("volume")
			c.anonymous = append(c.anonymous, name)
		}
		c.volumes = append(c.volumes, name)
		if e.volumes[name] == nil {
			e.volumes[name] = &volume{Name: name, Driver: "local", Scope: "local", Labels: m.VolumeOptions.Labels,
				Mountpoint: path.Join("/var/lib/docker/volumes", name, "_data")}
		}
	}
}

// used says whether a container has a volume; the lock is held.
func (e *Engine) used(name string) bool {
	for _, c := range e.containers {
		if slices.Contains(c.volumes, name) {
			return true
		}
	}
	return false
}

// listVolumes answers GET /volumes for those that fit the filters.
func (e *Engine) listVolumes(w http.ResponseWriter, r *http.Request) {
	wanted, ok := filters(w, r)
	if !ok {
		return
	}
	found := []volume{}
	e.mu.Lock()
	for _, v := range e.volumes {
		if carries(v.Labels, wanted["label"]) && !(slices.Contains(wanted["dangling"], "true") && e.used(v.Name)) {
			found = append(found, *v)
		}
	}
	e.mu.Unlock()
	answer(w, http.StatusOK, map[string]any{"Volumes": found, "Warnings": []string{}})
}

// removeVolume answers DELETE /volumes/{name}; one that a container uses is a conflict.
func (e *Engine) removeVolume(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	e.mu.Lock()
	defer e.mu.Unlock()
	switch {
	case e.volumes[name] == nil:
		refuse(w, http.StatusNotFound, "get "+name+": no such volume")
	case e.used(name):
		refuse(w, http.StatusConflict, "remove "+name+": volume is in use")
	default:
		delete(e.volumes, name)
		e.broadcast()
		w.WriteHeader(http.StatusNoContent)
	}
}

// AddVolume has an engine have a volume of no container.
func (e *Engine) AddVolume(name string, labels map[string]string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.volumes[name] = &volume{Name: name, Driver: "local", Scope: "local", Labels: labels, Mountpoint: path.Join("/var/lib/docker/volumes", name, "_data")}
	e.broadcast()
}
