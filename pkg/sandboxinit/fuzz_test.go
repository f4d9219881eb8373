package sandboxinit

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// FuzzRequest sends anything to the server, but for the operations that change the
// machine's own mounts and processes. Each request has one answer, and leaves nothing
// open.
func FuzzRequest(f *testing.F) {
	for _, seed := range []string{
		`{"version":1,"op":"status"}`, `{"op":"start","current":true}`, `{"op":"check","source":{"roots":[{"path":"/proc"}],"path":"self/../x","type":"File"}}`,
		`{"op":"pin","place":"c/0","source":{"roots":[],"path":"a"}}`, `{"op":"kill","pid":-7}`, `{"op":"shm","shm":1e9}`,
		`{"op":"status"}{"op":"fly"}`, `{"op":`, `[]`, `null`, "\x00", `{"op":"check","source":{"private":[{"device":-1}]}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var request initapi.Request
		decoded := json.NewDecoder(bytes.NewReader(text)).Decode(&request) == nil
		if decoded && slices.Contains([]string{initapi.OpTmpfs, initapi.OpShm, initapi.OpSysctl, initapi.OpKill, initapi.OpPin, initapi.OpCheck,
			initapi.OpFuse, initapi.OpEndFuse, initapi.OpGroupOOM}, request.Op) {
			return
		}
		s := &server{standby: true, started: make(chan bool, 1)}
		ours, theirs := net.Pipe()
		var running sync.WaitGroup
		defer running.Wait()
		defer ours.Close()
		running.Go(func() { s.answer(theirs) })
		// The rest of a request that is cut short is waited for; the pipe's end is its end.
		running.Go(func() { _, _ = ours.Write(append(text, "\x00"...)) })
		answers := json.NewDecoder(ours)
		var got initapi.Answer
		if err := answers.Decode(&got); err != nil || got.Version != initapi.Version {
			t.Fatalf("answer to %q: %+v, %v", text, got, err)
		}
		if known := decoded && (request.Op == initapi.OpStatus || request.Op == initapi.OpStart); known != (got.Error == nil) {
			t.Errorf("answer to %q: %+v", text, got)
		}
		if err := answers.Decode(&got); err != io.EOF {
			t.Errorf("a second answer to %q: %+v, %v", text, got, err)
		}
	})
}

// FuzzSource walks anything, over a link that leads anywhere: nothing outside the roots
// is opened, or made, and no descriptor is left.
func FuzzSource(f *testing.F) {
	for _, seed := range []struct{ path, sub, kind, target string }{
		{"d", "", "", "d"}, {"l", "x/y", "DirectoryOrCreate", "../other"}, {"l/new", "", "FileOrCreate", "/"}, {"d/l", "l", "Directory", "../../outside"},
		{"l", "", "", "l"}, {"l/../x", "..", "", "none/../.."}, {"./d//f", "", "File", "BASE/outside"}, {"l", "l", "", "BASE/allowed/d"},
		{"l/d", "", "", "../allowed"}, {"d", "l/l", "", "/proc/self/root"}, {"private", "", "", "BASE/allowed/private"}, {"l", "", "", "BASE/other/back"},
	} {
		f.Add(seed.path, seed.sub, seed.kind, seed.target)
	}
	f.Fuzz(func(t *testing.T, path, sub, kind, target string) {
		base, err := filepath.EvalSymlinks(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		target = strings.ReplaceAll(target, "BASE", base)
		for _, dir := range []string{"allowed/d", "allowed/private", "other", "outside"} {
			folder(t, base, dir)
		}
		put(t, base+"/allowed/d/f", "")
		link(t, "../allowed", base+"/other/back")
		for _, at := range []string{"allowed/l", "allowed/d/l"} {
			if os.Symlink(target, filepath.Join(base, at)) != nil {
				return // no target of a link
			}
		}
		s := initapi.Source{Roots: rootsOf(base+"/allowed", base+"/other"), Path: path, SubPath: sub, Type: kind,
			Private: []initapi.Identity{identify(t, base), identify(t, base+"/allowed"), identify(t, base+"/allowed/private")}}
		before := descriptors(t)
		if file, err := open(s); err == nil {
			name, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(file.fd))
			file.close()
			inside := slices.ContainsFunc(s.Roots, func(r initapi.Root) bool { _, in := below(r.Path, name); return in })
			_, private := below(base+"/allowed/private", name)
			if err != nil || !inside || private || name == base+"/allowed" {
				t.Errorf("opened %s, %v, by %+v and a link to %s", name, err, s, target)
			}
		}
		if now := descriptors(t); now != before {
			t.Errorf("%d descriptors are left open by %+v and a link to %s", now-before, s, target)
		}
		for dir, want := range map[string]int{"": 3, "outside": 0, "allowed/private": 0} {
			if got := entries(t, filepath.Join(base, dir)); len(got) != want {
				t.Errorf("%q holds %q after %+v and a link to %s", dir, got, s, target)
			}
		}
	})
}
