package enginetest

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
)

// offer is what a registry has under a name.
type offer struct {
	image   Image
	refusal string
}

// Offer has registries have an image, which can be pulled by its first tag.
func (e *Engine) Offer(i Image) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.registry[tagged(i.Tags[0])] = offer{image: i}
}

// Refuse has the registry of an image answer with a message. Without an offer and a
// refusal access to an image is denied.
func (e *Engine) Refuse(ref, message string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.registry[tagged(ref)] = offer{refusal: message}
}

// ask a registry for an image, or how it refuses.
func (e *Engine) ask(ref string) (found *Image, status int, message string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	got, known := e.registry[tagged(ref)]
	repository, _, _ := strings.Cut(tagged(ref), ":")
	switch {
	case !known:
		return nil, http.StatusNotFound, "pull access denied for " + repository +
			", repository does not exist or may require 'docker login': denied: requested access to the resource is denied"
	case got.refusal != "":
		return nil, http.StatusInternalServerError, got.refusal
	}
	return &got.image, 0, ""
}

// pullOrImport answers POST /images/create.
func (e *Engine) pullOrImport(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	if query.Get("fromSrc") == "-" {
		e.importImage(w, r)
		return
	}
	separator := ":"
	if strings.Contains(query.Get("tag"), ":") {
		separator = "@"
	}
	ref := query.Get("fromImage") + separator + query.Get("tag")
	found, status, message := e.ask(ref)
	if found == nil {
		refuse(w, status, message)
		return
	}
	begin(w, "application/json")
	out := json.NewEncoder(w)
	for _, status := range []string{"Pulling fs layer", "Downloading", "Download complete", "Extracting", "Pull complete"} {
		_ = out.Encode(map[string]any{"id": "layer", "status": status, // to a caller that may have left
			"progressDetail": map[string]int64{"current": found.Size, "total": found.Size}})
	}
	e.mu.Lock()
	i := e.addImage(*found)
	e.tell("image", "pull", tagged(ref), map[string]string{"name": i.ID})
	e.mu.Unlock()
	_ = out.Encode(map[string]string{"status": "Status: Downloaded newer image for " + ref})
}

// importImage makes an image of an archive, whose content is not looked at.
func (e *Engine) importImage(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		refuse(w, http.StatusInternalServerError, err.Error())
		return
	}
	name := r.URL.Query().Get("repo")
	if tag := r.URL.Query().Get("tag"); tag != "" {
		name += ":" + tag
	}
	e.mu.Lock()
	i := e.addImage(Image{ID: "sha256:" + e.newID("import"), Tags: []string{name}})
	e.tell("image", "import", i.ID, map[string]string{"name": i.ID})
	e.mu.Unlock()
	answer(w, http.StatusOK, map[string]string{"status": i.ID})
}

// distribution tells what a registry has, without fetching it.
func (e *Engine) distribution(w http.ResponseWriter, r *http.Request) {
	name, _ := strings.CutSuffix(r.PathValue("name"), "/json")
	found, status, message := e.ask(name)
	if found == nil {
		if status == http.StatusNotFound {
			status, message = http.StatusUnauthorized, "unauthorized: authentication required"
		}
		refuse(w, status, message)
		return
	}
	answer(w, http.StatusOK, map[string]any{"Descriptor": map[string]any{"digest": "sha256:" + digestOf(name), "size": found.Size,
		"mediaType": "application/vnd.docker.distribution.manifest.v2+json"}, "Platforms": []any{}})
}
