package fusemount

import (
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// FuzzOptions: whatever is asked for, a mount is of type fuse without set-user-id programs
// and device nodes, and its file system gets no option that is not on the list.
func FuzzOptions(f *testing.F) {
	for _, seed := range []string{"", "rw,nosuid", `fsname=a\,b\\,subtype=c.d`, "suid,dev", "max_read=65536,allow_other", `\`, ",,", "fsname=,subtype=", "fd=0,user_id=0"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		o, err := parseOptions(text)
		if err != nil {
			return
		}
		if o.flags&unix.MS_NOSUID == 0 || o.flags&unix.MS_NODEV == 0 || o.flags&(unix.MS_BIND|unix.MS_REMOUNT|unix.MS_MOVE|unix.MS_SHARED) != 0 {
			t.Errorf("%q: flags %x", text, o.flags)
		}
		if name, subtype := strings.CutPrefix(o.kind, "fuse"); !subtype || strings.ContainsAny(name, ",/ \x00") || name != "" && name[0] != '.' {
			t.Errorf("%q: type %q", text, o.kind)
		}
		if o.source == "" || strings.ContainsRune(o.source, 0) {
			t.Errorf("%q: source %q", text, o.source)
		}
		data, err := o.data(3, unix.S_IFDIR, 1, 2, 5)
		if err != nil {
			return
		}
		words := strings.Split(data, ",")
		if !slices.Equal(words[:4], []string{"fd=3", "rootmode=40000", "user_id=1", "group_id=2"}) || !Mark(5).in(data) {
			t.Errorf("%q: data %q", text, data)
		}
		for _, word := range words[5:] {
			if word != "allow_other" && word != "default_permissions" {
				t.Errorf("%q: data %q", text, data)
			}
		}
	})
}
