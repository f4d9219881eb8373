package enginetest

import (
	"archive/tar"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path"
	"strings"
)

// getArchive sends a file of a container's image. A file whose text begins with linkTo is
// a link.
func getArchive(c *container, r *http.Request) http.HandlerFunc {
	name := r.URL.Query().Get("path")
	text, there := c.image.Files[name]
	if !there {
		return refuses(http.StatusNotFound, "Could not find the file %s in container %s", name, c.id)
	}
	header := tar.Header{Name: path.Base(name), Mode: 0o644, Size: int64(len(text))}
	stat := map[string]any{"name": header.Name, "size": header.Size, "mode": os.FileMode(0o644)}
	if target, link := strings.CutPrefix(text, linkTo); link {
		header = tar.Header{Name: header.Name, Typeflag: tar.TypeSymlink, Linkname: target}
		stat["mode"], stat["linkTarget"], text = os.ModeSymlink|0o777, target, ""
	}
	return func(w http.ResponseWriter, _ *http.Request) {
		described, _ := json.Marshal(stat)
		w.Header().Set("X-Docker-Container-Path-Stat", base64.StdEncoding.EncodeToString(described))
		w.Header().Set("Content-Type", "application/x-tar")
		archive := tar.NewWriter(w)
		_ = archive.WriteHeader(&header)
		_, _ = io.WriteString(archive, text)
		_ = archive.Close()
	}
}

// linkTo begins the text of a file that stands for a link.
const linkTo = "link to "
