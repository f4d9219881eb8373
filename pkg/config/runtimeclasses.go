package config

import (
	"encoding/json"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/distribution/reference"
	"k8s.io/apimachinery/pkg/util/validation"
)

// RuntimeClass says how pods of one runtime class are run. Without a value it is as other
// pods are.
type RuntimeClass struct {
	// Runtime is that of a sandbox's engine.
	Runtime string
	// Path is the program of the runtime on the host, absolute and cleaned. With "" the
	// sandbox image brings it.
	Path string
	// SandboxImage is that of the pods' sandboxes, which are made for them, "" for
	// Config.SandboxImage.
	SandboxImage string
}

// RuntimeClasses are classes by the names of the cluster's RuntimeClass objects.
type RuntimeClasses map[string]RuntimeClass

func (r *RuntimeClass) settings() []setting {
	return []setting{
		{key: "runtime", dst: &r.Runtime},
		{key: "path", dst: &r.Path},
		{key: "sandboxImage", dst: &r.SandboxImage},
	}
}

// runtimeClasses stores a mapping of names to classes.
func (d *decoder) runtimeClasses(key string, raw json.RawMessage, dst *RuntimeClasses) error {
	var items map[string]json.RawMessage
	if json.Unmarshal(raw, &items) != nil {
		return invalidRaw(key, raw, "a mapping of names to classes, each with runtime, path and sandboxImage, or with nothing")
	}
	out := make(RuntimeClasses, len(items))
	for _, name := range slices.Sorted(maps.Keys(items)) {
		if !isClassName(name) { // before it is a part of a message
			return invalid(key, name, classRule)
		}
		var class RuntimeClass
		if err := d.object(key+"."+name+".", items[name], class.settings()); err != nil {
			return err
		}
		out[name] = class
	}
	if len(out) > 0 {
		*dst = out
	}
	return nil
}

const classRule = "a name of a RuntimeClass object of the cluster, such as gvisor"

func isClassName(name string) bool { return len(validation.IsDNS1123Subdomain(name)) == 0 }

// Programs are those of this host that run containers, by the name of their runtime.
func (r RuntimeClasses) Programs() map[string]string {
	out := map[string]string{}
	for _, class := range r {
		if class.Path != "" {
			out[class.Runtime] = class.Path
		}
	}
	return out
}

// runtimeName is what every engine takes for the name of a runtime. One with a slash would be
// the path of a program.
var runtimeName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$`)

// shims is how the names of containerd's runtimes begin, which an engine knows by themselves.
const shims = "io.containerd."

func (r RuntimeClasses) validate() error {
	programs := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(r)) {
		class, key := r[name], "RuntimeClasses."+name
		if !isClassName(name) {
			return invalid("RuntimeClasses", name, classRule)
		}
		if class.Runtime != "" && !runtimeName.MatchString(class.Runtime) {
			return invalid(key+".runtime", class.Runtime, "the name of a runtime such as crun, or of a shim of containerd such as io.containerd.runsc.v1; a program of this host is named by path")
		}
		if _, err := reference.ParseNormalizedNamed(class.SandboxImage); class.SandboxImage != "" && err != nil {
			return invalid(key+".sandboxImage", class.SandboxImage, "an image reference such as docker:dind")
		}
		if class.Path == "" {
			continue
		}
		switch {
		case class.Runtime == "":
			return invalid(key+".path", class.Path, "together with runtime, which is the name that the engine knows it by")
		case class.Runtime == "runc" || strings.HasPrefix(class.Runtime, shims):
			return invalid(key+".runtime", class.Runtime, "another name where path is set: the engine has a meaning for this one")
		case !filepath.IsAbs(class.Path) || class.Path != filepath.Clean(class.Path) || class.Path == "/" || strings.ContainsRune(class.Path, 0):
			return invalid(key+".path", class.Path, pathRule)
		case programs[class.Runtime] != "" && programs[class.Runtime] != class.Path:
			return invalid(key+".path", class.Path, programs[class.Runtime]+", as in another class with the runtime "+class.Runtime+", or of a runtime with another name")
		}
		programs[class.Runtime] = class.Path
	}
	return nil
}
