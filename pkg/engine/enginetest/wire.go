package enginetest

import (
	"encoding/json"
	"net/http"
	"regexp"
	"strings"
	"time"
)

// versionPrefix of a path.
var versionPrefix = regexp.MustCompile(`^/v[0-9.]+/`)

// router has the part of the Docker API that pkg/engine uses. Anything else fails the
// test.
func (e *Engine) router() *http.ServeMux {
	mux := http.NewServeMux()
	for pattern, answer := range map[string]http.HandlerFunc{
		"/_ping":                         e.ping,
		"GET /info":                      e.info,
		"GET /events":                    e.streamEvents,
		"GET /containers/json":           e.listContainers,
		"POST /containers/create":        e.createContainer,
		"GET /containers/{id}/json":      e.of(e.inspectContainer),
		"GET /containers/{id}/logs":      e.of(e.logsOf),
		"POST /containers/{id}/start":    e.of(e.startContainer),
		"POST /containers/{id}/stop":     e.of(e.stopContainer),
		"POST /containers/{id}/kill":     e.of(e.killContainer),
		"POST /containers/{id}/rename":   e.of(e.renameContainer),
		"POST /containers/{id}/update":   e.of(e.updateContainer),
		"POST /containers/{id}/wait":     e.of(e.waitContainer),
		"GET /containers/{id}/archive":   e.of(getArchive),
		"POST /containers/{id}/exec":     e.of(e.createExec),
		"DELETE /containers/{id}":        e.of(e.removeContainer),
		"POST /exec/{id}/start":          e.startExec,
		"GET /exec/{id}/json":            e.inspectExec,
		"GET /volumes":                   e.listVolumes,
		"DELETE /volumes/{name}":         e.removeVolume,
		"GET /networks":                  e.listNetworks,
		"POST /networks/create":          e.createNetwork,
		"DELETE /networks/{id}":          e.removeNetwork,
		"POST /networks/{id}/disconnect": e.disconnect,
		"POST /networks/{id}/connect":    e.connect,
		"GET /images/json":               e.listImages,
		"GET /images/get":                e.saveImages,
		"POST /images/load":              e.loadImages,
		"POST /images/create":            e.pullOrImport,
		"GET /images/{name...}":          e.inspectImage,
		"POST /images/{name...}":         e.tagImage,
		"DELETE /images/{name...}":       e.deleteImage,
		"GET /distribution/{name...}":    e.distribution,
	} {
		mux.HandleFunc(pattern, answer)
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		e.t.Errorf("this engine cannot do %s %s", r.Method, r.URL.Path)
		refuse(w, http.StatusNotImplemented, "this engine cannot do that")
	})
	return mux
}

// ping answers /_ping with the version of the API.
func (e *Engine) ping(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Api-Version", apiVersion)
	w.Header().Set("Ostype", "linux")
	w.WriteHeader(http.StatusOK)
}

// info answers GET /info.
func (e *Engine) info(w http.ResponseWriter, _ *http.Request) {
	answer(w, http.StatusOK, map[string]any{"ServerVersion": "25.0.0", "Driver": "overlay2", "DockerRootDir": "/var/lib/docker",
		"NCPU": 8, "MemTotal": int64(16) << 30, "CgroupVersion": "2", "CgroupDriver": "none", "LiveRestoreEnabled": true,
		"SecurityOptions": []string{"name=seccomp,profile=builtin"}, "Runtimes": map[string]any{"runc": map[string]any{}}})
}

// filters of a list: every value of every name has to fit.
func filters(w http.ResponseWriter, r *http.Request) (map[string][]string, bool) {
	text := r.URL.Query().Get("filters")
	sets, out := map[string]map[string]bool{}, map[string][]string{}
	if text == "" {
		return out, true
	}
	if err := json.Unmarshal([]byte(text), &sets); err != nil {
		refuse(w, http.StatusBadRequest, "invalid filter: "+err.Error())
		return nil, false
	}
	for name, values := range sets {
		for value := range values {
			out[name] = append(out[name], value)
		}
	}
	return out, true
}

// carries says whether an object has all the labels, "key" or "key=value" each.
func carries(has map[string]string, labels []string) bool {
	for _, label := range labels {
		name, value, exact := strings.Cut(label, "=")
		if got, found := has[name]; !found || exact && got != value {
			return false
		}
	}
	return true
}

// read decodes the body of a request, or refuses it and returns false.
func read(w http.ResponseWriter, r *http.Request, into any) bool {
	err := json.NewDecoder(r.Body).Decode(into)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
	}
	return err == nil
}

// refuse answers with a code and the engine's message.
func refuse(w http.ResponseWriter, code int, message string) {
	answer(w, code, map[string]string{"message": message})
}

// answer writes JSON to a caller that may have left.
func answer(w http.ResponseWriter, code int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(body)
}

// begin sends the head of an answer whose body comes later.
func begin(w http.ResponseWriter, kind string) {
	w.Header().Set("Content-Type", kind)
	w.WriteHeader(http.StatusOK)
	flush(w)
}

// flush sends what has been written, to a caller that may have left.
func flush(w http.ResponseWriter) { _ = http.NewResponseController(w).Flush() }

// stamp is how an engine writes a moment; never is year 1.
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }

// logStamp has as many digits at all times.
const logStamp = "2006-01-02T15:04:05.000000000Z"
