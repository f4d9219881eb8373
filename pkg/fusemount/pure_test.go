package fusemount

import (
	"os"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/moby/sys/mountinfo"
	"golang.org/x/sys/unix"
)

func TestParseOptions(t *testing.T) {
	const always = unix.MS_NOSUID | unix.MS_NODEV
	for text, want := range map[string]options{
		"":   {flags: always, kind: "fuse", source: "fuse"},
		"rw": {flags: always, kind: "fuse", source: "fuse"},
		// As rclone and sshfs ask.
		`subtype=rclone,fsname=remote:/a\,b\\c,max_readahead`: {},
		`subtype=rclone,fsname=remote:/a\,b\\c,allow_other`:   {flags: always, kind: "fuse.rclone", source: `remote:/a,b\c`, words: []string{"allow_other"}},
		"rw,nosuid,nodev,noatime,default_permissions,subtype=sshfs,max_read=65536,fsname=x:": {flags: always | unix.MS_NOATIME, kind: "fuse.sshfs", source: "x:",
			maxRead: 65536, words: []string{"default_permissions"}},
		"ro,rw,ro,noexec,sync,async,auto_unmount,nonempty": {flags: always | unix.MS_RDONLY | unix.MS_NOEXEC, kind: "fuse", source: "fuse"},
		"suid": {}, "dev": {}, "fd=3": {}, "user_id=0": {}, "rootmode=40000": {}, "blkdev": {}, "blksize=512": {}, "context=x": {}, "bind": {}, "remount": {},
		"subtype=": {}, "subtype=a/b": {}, "subtype=.a": {}, "subtype=a b": {}, "fsname=": {}, "max_read=-1": {}, "max_read=4294967296": {}, "nosuid=1": {},
		"fsname=a\x00b": {}, "ro," + strings.Repeat("x", optionsLimit): {},
	} {
		got, err := parseOptions(text)
		if want.kind == "" {
			if err == nil {
				t.Errorf("%.60q was taken for %+v", text, got)
			}
			continue
		}
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %+v, %v, want %+v", text, got, err, want)
		}
	}
}

// TestMark: each mount of a sandbox has its mark, and none that a host makes.
func TestMark(t *testing.T) {
	for random := range uint64(2 * maxMark) {
		mark := NewMark(random)
		if mark < 1 || mark > maxMark || mark%2 == 0 {
			t.Fatalf("the mark of %d is %d", random, mark)
		}
		for _, maxRead := range []uint64{0, 2 * page, 65536, 100000} {
			data, err := options{maxRead: maxRead}.data(7, unix.S_IFDIR|0o755, 1, 2, mark)
			if err != nil || !mark.in("rw,"+data) || !strings.HasPrefix(data, "fd=7,rootmode=40000,user_id=1,group_id=2,max_read=") {
				t.Fatalf("%d with mark %d: %q, %v", maxRead, mark, data, err)
			}
		}
		for _, host := range []string{"", "rw,user_id=0", "rw,max_read=131072", "rw,max_read=65536", "rw,max_read=1048576", "rw,max_read=x"} {
			if mark.in(host) {
				t.Fatalf("a mount of the host with %q has the mark %d", host, mark)
			}
		}
	}
	if _, err := (options{maxRead: 2*page - 1}).data(7, 0, 0, 0, 1); err == nil {
		t.Error("a bound in which the mark has no place was taken")
	}
	if Mark(5).in("max_read=1073741821") {
		t.Error("the mark of another sandbox was taken")
	}
}

func TestParseCommand(t *testing.T) {
	for _, c := range []struct {
		line string
		want wish
	}{
		{"-o rw,nosuid -- /mnt", wish{options: []string{"rw,nosuid"}, points: []string{"/mnt"}, socket: 3}},
		{"/mnt -o rw", wish{options: []string{"rw"}, points: []string{"/mnt"}, socket: 3}},
		{"-orw -o ro -- -odd", wish{options: []string{"rw", "ro"}, points: []string{"-odd"}, socket: 3}},
		{"--options=rw /mnt", wish{options: []string{"rw"}, points: []string{"/mnt"}, socket: 3}},
		{"--options rw --comm-fd 5 /mnt", wish{options: []string{"rw"}, points: []string{"/mnt"}, socket: 5}},
		{"--auto-unmount -- /mnt", wish{autoUnmount: true, points: []string{"/mnt"}, socket: 3}},
		{"-u /mnt", wish{unmount: true, points: []string{"/mnt"}, socket: none}},
		{"-u -q -z -- /mnt", wish{unmount: true, quiet: true, lazy: true, points: []string{"/mnt"}, socket: none}},
		{"-uqz mnt", wish{unmount: true, quiet: true, lazy: true, points: []string{"mnt"}, socket: none}},
		{"-V", wish{version: true, socket: none}},
		{"--help", wish{help: true, socket: none}},
	} {
		got, err := parseCommand(strings.Fields(c.line), "3")
		if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(wish{})); err != nil || diff != "" {
			t.Errorf("%s: %v\n%s", c.line, err, diff)
		}
	}
	for _, line := range []string{"", "/a /b", "-u", "-x /mnt", "--unknown /mnt", "-o"} {
		if _, err := parseCommand(strings.Fields(line), "3"); err == nil {
			t.Errorf("%q was taken", line)
		}
	}
	for _, variable := range []string{"", "x", "-1"} {
		if _, err := parseCommand([]string{"/mnt"}, variable); err == nil {
			t.Errorf("a mount with %s=%q was taken", socketVariable, variable)
		}
	}
}

func TestVolumesHold(t *testing.T) {
	parse := func(text string) table {
		out, err := mountinfo.GetMountsFromReader(strings.NewReader(text), nil)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	v := volumes{folder: "/data/s/pod/emptyDirs", sandbox: parse(
		"1 0 0:50 / / rw - overlay overlay rw\n" +
			"2 1 8:1 /host/s/pod /data/s/pod rw shared:1 - ext4 /dev/sda rw\n" +
			"3 2 0:60 / /data/s/pod/emptyDirs/mem rw shared:2 - tmpfs tmpfs rw\n" +
			"4 1 0:61 / /run rw shared:3 - tmpfs tmpfs rw\n")}
	for line, want := range map[string]bool{
		"9 1 8:1 /host/s/pod/emptyDirs/a /vol rw - ext4 /dev/sda rw":     true,
		"9 1 8:1 /host/s/pod/emptyDirs/a/b /vol rw - ext4 /dev/sda rw":   true,
		"9 1 8:1 /host/s/pod/emptyDirs /vol rw - ext4 /dev/sda rw":       false,
		"9 1 8:1 /host/s/pod/emptyDirsX/a /vol rw - ext4 /dev/sda rw":    false,
		"9 1 8:1 /host/s/pod/configMaps/a /vol rw - ext4 /dev/sda rw":    false,
		"9 1 8:1 /host/other/pod/emptyDirs/a /vol rw - ext4 /dev/sda rw": false,
		"9 1 8:2 /host/s/pod/emptyDirs/a /vol rw - ext4 /dev/sdb rw":     false,
		"9 1 0:60 / /vol rw - tmpfs tmpfs rw":                            true,
		"9 1 0:60 /sub /vol rw - tmpfs tmpfs rw":                         true,
		"9 1 0:61 / /run rw - tmpfs tmpfs rw":                            false,
		"9 1 0:50 / / rw - overlay overlay rw":                           false,
	} {
		if got := v.holds(parse(line + "\n")[0]); got != want {
			t.Errorf("%s: holds %v, want %v", line, got, want)
		}
	}
}

func TestMayCover(t *testing.T) {
	user := caller{uid: 1000, gid: 100, groups: []uint32{200}}
	for _, c := range []struct {
		who      caller
		mode     uint32
		uid, gid uint32
		want     bool
	}{
		{caller{}, 0o500, 7, 7, true},
		{user, 0o700, 1000, 7, true}, {user, 0o1777, 1000, 7, true}, {user, 0o577, 1000, 7, false},
		{user, 0o777, 0, 0, true}, {user, 0o1777, 0, 0, false}, {user, 0o775, 0, 0, false},
		{user, 0o770, 0, 100, true}, {user, 0o2770, 0, 200, true}, {user, 0o3770, 0, 200, false}, {user, 0o757, 0, 200, false},
	} {
		if got := c.who.mayCover(unix.Stat_t{Mode: c.mode, Uid: c.uid, Gid: c.gid}); got != c.want {
			t.Errorf("user %d over a folder %o of %d:%d: %v, want %v", c.who.uid, c.mode, c.uid, c.gid, got, c.want)
		}
	}
	if diff := cmp.Diff([]uint32{4, 200}, groupsIn("Name:\tx\nGid:\t1 2 3\nGroups:\t4 200 \nNStgid:\t9\n")); diff != "" {
		t.Error(diff)
	}
}

// TestMessages: a descriptor goes with a message, and one that is too long is refused.
func TestMessages(t *testing.T) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET, 0)
	if err != nil {
		t.Fatal(err)
	}
	file, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	want := request{Op: opMount, Options: "rw"}
	if err := send(pair[0], want, int(file.Fd())); err != nil {
		t.Fatal(err)
	}
	var got request
	fd, err := receive(pair[1], &got)
	if err != nil || fd == none || got != want {
		t.Fatalf("received %+v with %d, %v", got, fd, err)
	}
	unix.Close(fd)
	if err := send(pair[0], request{Options: strings.Repeat("x", messageLimit)}, int(file.Fd())); err != nil {
		t.Fatal(err)
	}
	if fd, err := receive(pair[1], &got); err == nil || fd != none {
		t.Errorf("a message that is too long: %d, %v", fd, err)
	}
	unix.Close(pair[0])
	if _, err := receive(pair[1], &got); err == nil {
		t.Error("no error after the other side has left")
	}
}
