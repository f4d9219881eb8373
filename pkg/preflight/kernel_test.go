package preflight_test

import (
	"strings"
	"testing"
	"testing/fstest"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/preflight"
)

// proc is a kernel that suffices, with some files changed.
func proc(change map[string]string) fstest.MapFS {
	root := fstest.MapFS{}
	files := map[string]string{"proc/filesystems": "nodev\tproc\nnodev\toverlay\n", "proc/sys/kernel/osrelease": "6.1\n", "proc/sys/kernel/pid_max": "4194304\n",
		"proc/sys/kernel/threads-max": "1000000\n", "proc/sys/kernel/keys/root_maxkeys": "1000000\n", "proc/sys/kernel/keys/root_maxbytes": "25000000\n", "proc/sys/fs/inotify/max_user_instances": "8192\n", "proc/sys/fs/inotify/max_user_watches": "65536\n"}
	for _, ns := range []string{"cgroup", "ipc", "mnt", "net", "pid", "uts"} {
		files["proc/self/ns/"+ns] = ""
	}
	for path, text := range change {
		files[path] = text
	}
	for path, text := range files {
		if text != "gone" {
			root["proc/"+strings.TrimPrefix(path, "proc/")] = &fstest.MapFile{Data: []byte(text)}
		}
	}
	return root
}

func TestKernel(t *testing.T) {
	load := preflight.Load{Sandboxes: 120, CgroupVersion: "2", OpenFiles: 65536}
	for name, c := range map[string]struct {
		change  map[string]string
		load    preflight.Load
		line    string
		verdict preflight.Verdict
		found   string
	}{
		"features":              {nil, load, "kernel", preflight.OK, "6.1 has overlay"},
		"no overlay":            {map[string]string{"proc/filesystems": "nodev\toverlayfs2\n"}, load, "kernel", preflight.Fail, "no overlay file system"},
		"no proc":               {map[string]string{"proc/filesystems": "gone"}, load, "kernel", preflight.Fail, "cannot be read"},
		"no namespaces":         {map[string]string{"proc/self/ns/net": "gone", "proc/self/ns/uts": "gone"}, load, "kernel", preflight.Fail, "net, uts"},
		"inotify":               {map[string]string{"proc/sys/fs/inotify/max_user_instances": "128"}, load, "inotify", preflight.Warn, "fs.inotify.max_user_instances is 128; up to 120 sandboxes may need 8192"},
		"inotify of many in v2": {nil, preflight.Load{Sandboxes: 9000, CgroupVersion: "2"}, "inotify", preflight.Warn, "may need 90128"},
		"watches of many in v2": {nil, preflight.Load{Sandboxes: 9000, CgroupVersion: "2"}, "inotify watches", preflight.Warn, "may need 188192"},
		"watches of many in v1": {nil, preflight.Load{Sandboxes: 9000, CgroupVersion: "1"}, "inotify watches", preflight.OK, "is 65536"},
		"inotify of many in v1": {nil, preflight.Load{Sandboxes: 9000, CgroupVersion: "1"}, "inotify", preflight.OK, "is 8192"},
		"inotify in use":        {nil, preflight.Load{Sandboxes: 120, Inotify: 37}, "inotify", preflight.OK, "is 8192, 37 in use"},
		"inotify used up":       {nil, preflight.Load{Sandboxes: 120, Inotify: 8000}, "inotify", preflight.Warn, "is 8192, 8000 in use: containers will not start"},
		"keys used up":          {nil, preflight.Load{Sandboxes: 1, Keys: 999990}, "keyrings", preflight.Warn, "is 1000000, 999990 in use"},
		"bytes of keys":         {map[string]string{"proc/sys/kernel/keys/root_maxbytes": "50000"}, load, "keyring bytes", preflight.Warn, "may need 91000"},
		"inotify in v1":         {map[string]string{"proc/sys/fs/inotify/max_user_instances": "128"}, preflight.Load{Sandboxes: 120, CgroupVersion: "1"}, "inotify", preflight.Warn, "one pod may leave none to the host"},
		"enough inotify":        {nil, load, "inotify", preflight.OK, "8192"},
		"pids":                  {map[string]string{"proc/sys/kernel/pid_max": "4096"}, load, "process ids", preflight.Warn, "kernel.pid_max is 4096"},
		"keys":                  {map[string]string{"proc/sys/kernel/keys/root_maxkeys": "200"}, load, "keyrings", preflight.Warn, "may need 1300"},
		"unknown":               {map[string]string{"proc/sys/kernel/threads-max": "gone"}, load, "threads", preflight.Warn, "not known"},
		"files":                 {nil, preflight.Load{Sandboxes: 120, OpenFiles: 1024}, "open files", preflight.Warn, "may open 1024 files; 120 sandboxes may take 2224"},
		"enough files":          {nil, load, "open files", preflight.OK, "65536"},
	} {
		found := false
		for _, l := range preflight.Kernel(proc(c.change), c.load) {
			if l.Name == c.line {
				found = true
				if l.Verdict != c.verdict || !strings.Contains(l.Found, c.found) {
					t.Errorf("%s: %s, %q; want %s with %q", name, l.Verdict, l.Found, c.verdict, c.found)
				}
			}
		}
		if !found {
			t.Errorf("%s: there is no line %q", name, c.line)
		}
	}
}
