package enginetest

import (
	"encoding/json"
	"io"
	"net/http"
	"path"
	"slices"
	"strings"
)

// Image of an engine, or of a registry.
type Image struct {
	// ID is made from the first name if it is empty.
	ID              string
	Tags, Digests   []string
	User            string
	Env             []string
	Entrypoint, Cmd []string
	Size            int64
	Parent          string
	// Layers are the folders of overlay2, topmost first.
	Layers []string
	// Files by their absolute path, for those that are read.
	Files map[string]string
}

// image of an engine.
type image struct{ Image }

// AddImage has the engine have an image under its tags. A tag is taken from the image
// that had it.
func (e *Engine) AddImage(i Image) Image {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.addImage(i)
}

// addImage is AddImage for a caller that holds the lock.
func (e *Engine) addImage(i Image) Image {
	for at, tag := range i.Tags {
		i.Tags[at] = tagged(tag)
	}
	i.Tags, i.Digests = slices.Clone(i.Tags), slices.Clone(i.Digests)
	if i.ID == "" {
		i.ID = "sha256:" + digestOf(strings.Join(i.Tags, " "))
	}
	for _, tag := range i.Tags {
		e.untag(tag)
	}
	if has := e.findImage(i.ID); has != nil {
		has.Tags = append(has.Tags, i.Tags...)
		has.Digests = slices.Compact(slices.Sorted(slices.Values(slices.Concat(has.Digests, i.Digests))))
	} else {
		e.images = append(e.images, &image{i})
	}
	e.broadcast()
	return i
}

// Images that the engine has.
func (e *Engine) Images() []Image {
	e.mu.Lock()
	defer e.mu.Unlock()
	out := []Image{}
	for _, i := range e.images {
		one := i.Image
		one.Tags, one.Digests = slices.Clone(one.Tags), slices.Clone(one.Digests)
		out = append(out, one)
	}
	return out
}

// tagged is a familiar name with its tag.
func tagged(name string) string {
	name = strings.TrimPrefix(strings.TrimPrefix(name, "docker.io/"), "library/")
	if !strings.Contains(path.Base(name), ":") && !strings.Contains(name, "@") {
		name += ":latest"
	}
	return name
}

// findImage by tag, digest, id or the beginning of one; the lock is held.
func (e *Engine) findImage(ref string) *image {
	hex := strings.TrimPrefix(ref, "sha256:")
	for _, i := range e.images {
		id := strings.TrimPrefix(i.ID, "sha256:")
		if slices.Contains(i.Tags, tagged(ref)) || slices.Contains(i.Digests, tagged(ref)) || id == hex ||
			len(hex) >= 12 && strings.HasPrefix(id, hex) {
			return i
		}
	}
	return nil
}

// untag takes a tag from the image that has it; the lock is held.
func (e *Engine) untag(tag string) {
	for _, i := range e.images {
		i.Tags = slices.DeleteFunc(i.Tags, func(has string) bool { return has == tag })
	}
}

// listImages answers GET /images/json; of filters it knows the reference.
func (e *Engine) listImages(w http.ResponseWriter, r *http.Request) {
	wanted, ok := filters(w, r)
	if !ok {
		return
	}
	found := []map[string]any{}
	e.mu.Lock()
	for _, i := range e.images {
		tags := slices.Clone(i.Tags)
		if refs := wanted["reference"]; len(refs) > 0 {
			tags = slices.DeleteFunc(tags, func(tag string) bool {
				return !slices.ContainsFunc(refs, func(ref string) bool { return fits(ref, tag) })
			})
			if len(tags) == 0 {
				continue
			}
		}
		found = append(found, map[string]any{"Id": i.ID, "RepoTags": tags, "RepoDigests": slices.Clone(i.Digests), "Size": i.Size, "ParentId": i.Parent})
	}
	e.mu.Unlock()
	answer(w, http.StatusOK, found)
}

// fits says whether a tag is of a repository, or the one that is named.
func fits(ref, tag string) bool {
	repository := tag[:strings.LastIndex(tag, ":")]
	return ref == tag || ref == repository || matches(ref, repository) || matches(ref, tag)
}

// inspectImage answers GET /images/{name}/json.
func (e *Engine) inspectImage(w http.ResponseWriter, r *http.Request) {
	name, inspect := strings.CutSuffix(r.PathValue("name"), "/json")
	e.mu.Lock()
	i := e.findImage(name)
	var body map[string]any
	if i != nil {
		body = map[string]any{"Id": i.ID, "RepoTags": slices.Clone(i.Tags), "RepoDigests": slices.Clone(i.Digests), "Size": i.Size,
			"Config":      map[string]any{"User": i.User, "Env": i.Env, "Entrypoint": i.Entrypoint, "Cmd": i.Cmd},
			"GraphDriver": map[string]any{"Name": "overlay2", "Data": layerFolders(i.Layers)}}
	}
	e.mu.Unlock()
	if !inspect || body == nil {
		refuse(w, http.StatusNotFound, "No such image: "+name)
		return
	}
	answer(w, http.StatusOK, body)
}

// layerFolders shows folders of layers, topmost first, as overlay2 does.
func layerFolders(layers []string) map[string]string {
	var dirs []string
	for _, layer := range layers {
		dirs = append(dirs, path.Join("/var/lib/docker/overlay2", layer, "diff"))
	}
	out := map[string]string{}
	if len(dirs) > 0 {
		out["UpperDir"] = dirs[0]
	}
	if len(dirs) > 1 {
		out["LowerDir"] = strings.Join(dirs[1:], ":")
	}
	return out
}

// tagImage answers POST /images/{name}/tag.
func (e *Engine) tagImage(w http.ResponseWriter, r *http.Request) {
	name, tag := strings.CutSuffix(r.PathValue("name"), "/tag")
	query := r.URL.Query()
	e.mu.Lock()
	defer e.mu.Unlock()
	i := e.findImage(name)
	if i == nil || !tag {
		refuse(w, http.StatusNotFound, "No such image: "+name)
		return
	}
	wanted := tagged(query.Get("repo") + ":" + query.Get("tag"))
	e.untag(wanted)
	i.Tags = append(i.Tags, wanted)
	e.tell("image", "tag", i.ID, map[string]string{"name": wanted})
	w.WriteHeader(http.StatusCreated)
}

// deleteImage takes a name, and the image with its last one.
func (e *Engine) deleteImage(w http.ResponseWriter, r *http.Request) {
	name, force := r.PathValue("name"), r.URL.Query().Get("force") == "1"
	e.mu.Lock()
	defer e.mu.Unlock()
	i := e.findImage(name)
	if i == nil {
		refuse(w, http.StatusNotFound, "No such image: "+name)
		return
	}
	byName := slices.Contains(i.Tags, tagged(name)) || slices.Contains(i.Digests, tagged(name))
	last := len(i.Tags) <= 1
	for _, c := range e.containers {
		if c.image == i && (last || !byName) && (!force || c.alive()) {
			refuse(w, http.StatusConflict, "conflict: unable to remove repository reference \""+name+"\" (must force) - container "+c.id[:12]+" is using its referenced image")
			return
		}
	}
	if !byName && len(i.Tags) > 1 && !force {
		refuse(w, http.StatusConflict, "conflict: unable to delete "+name+" (must be forced) - image is referenced in multiple repositories")
		return
	}
	done := []map[string]string{{"Untagged": name}}
	if byName && !last {
		e.untag(tagged(name))
	} else {
		e.images = slices.DeleteFunc(e.images, func(other *image) bool { return other == i })
		done = append(done, map[string]string{"Deleted": i.ID})
	}
	e.tell("image", "delete", i.ID, map[string]string{"name": name})
	answer(w, http.StatusOK, done)
}

// saveImages answers with an archive that only these engines can read.
func (e *Engine) saveImages(w http.ResponseWriter, r *http.Request) {
	name := r.URL.Query().Get("names")
	e.mu.Lock()
	i := e.findImage(name)
	var archive []byte
	if i != nil {
		saved := i.Image
		if !slices.Contains(i.Tags, tagged(name)) {
			saved.Tags = nil // an archive of an id has no names
		}
		archive, _ = json.Marshal(saved) // plain strings and numbers
	}
	e.mu.Unlock()
	if i == nil {
		refuse(w, http.StatusNotFound, "No such image: "+name)
		return
	}
	w.Header().Set("Content-Type", "application/x-tar")
	_, _ = w.Write(archive)
}

// loadImages answers POST /images/load for an archive of saveImages.
func (e *Engine) loadImages(w http.ResponseWriter, r *http.Request) {
	archive, err := io.ReadAll(r.Body)
	var i Image
	if err == nil {
		err = json.Unmarshal(archive, &i)
	}
	if err != nil {
		refuse(w, http.StatusInternalServerError, "unexpected EOF")
		return
	}
	e.mu.Lock()
	i = e.addImage(i)
	e.tell("image", "load", i.ID, map[string]string{"name": i.ID})
	e.mu.Unlock()
	line := "Loaded image ID: " + i.ID + "\n"
	if len(i.Tags) > 0 {
		line = "Loaded image: " + i.Tags[0] + "\n"
	}
	answer(w, http.StatusOK, map[string]string{"stream": line})
}

// ShareImages has another engine have all images of this one, as sandboxes do that share
// the layers of their host's engine.
func (e *Engine) ShareImages(with *Engine) {
	for _, i := range e.Images() {
		with.AddImage(i)
	}
}
