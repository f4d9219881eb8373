package preflight_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/accelerators"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu/monitor"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/preflight"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
)

// judged is one case of a table: a line, and what it must be.
type judged struct {
	line    preflight.Line
	verdict preflight.Verdict
	found   string
}

func holds(t *testing.T, cases map[string]judged) {
	t.Helper()
	for name, c := range cases {
		switch l := c.line; {
		case l.Verdict != c.verdict || !strings.Contains(l.Found, c.found):
			t.Errorf("%s: %s, %q; want %s with %q", name, l.Verdict, l.Found, c.verdict, c.found)
		case l.Name == "" || l.Verdict != preflight.OK && l.Do == "":
			t.Errorf("%s: %+v has no name, or does not say what to do", name, l)
		case l.Verdict == preflight.OK && l.Do != "":
			t.Errorf("%s: %+v is right and still wants something done", name, l)
		}
	}
}

func TestEngine(t *testing.T) {
	version := func(v string) engine.Info { return engine.Info{Version: v, APIVersion: "1.41"} }
	holds(t, map[string]judged{
		"right":             {preflight.Engine("unix:///s", version("20.10.24+dfsg1"), nil), preflight.OK, "version 20.10.24+dfsg1, API 1.41, at unix:///s"},
		"newer":             {preflight.Engine("unix:///s", version("28.1.0"), nil), preflight.OK, "28.1.0"},
		"development build": {preflight.Engine("unix:///s", version("dev"), nil), preflight.OK, "dev"},
		"old":               {preflight.Engine("unix:///s", version("19.03.1"), nil), preflight.Fail, "19.03.1"},
		"old in the second": {preflight.Engine("unix:///s", version("20.9"), nil), preflight.Fail, "20.9"},
		"away":              {preflight.Engine("unix:///s", engine.Info{}, errors.New("connection refused")), preflight.Fail, "no Docker engine answers at unix:///s: connection refused"},
		"live-restore":      {preflight.LiveRestore(engine.Info{LiveRestore: true}), preflight.OK, "on"},
		"no live-restore":   {preflight.LiveRestore(engine.Info{}), preflight.Warn, "ends every sandbox"},
		"cgroups":           {preflight.Cgroups(engine.Info{CgroupVersion: "2", CgroupDriver: "systemd"}), preflight.OK, "version 2, driver systemd"},
		"no cgroups":        {preflight.Cgroups(engine.Info{CgroupVersion: "2", CgroupDriver: "none"}), preflight.Fail, "limits"},
		"shared":            {preflight.Sharing(engine.Info{StorageDriver: "overlay2"}, true, true, "shared"), preflight.OK, "overlay2: shared"},
		"cannot share":      {preflight.Sharing(engine.Info{StorageDriver: "vfs"}, false, true, "copied"), preflight.Warn, "vfs: copied"},
		"out of reach":      {preflight.Sharing(engine.Info{StorageDriver: "overlayfs", ContainerdImages: true}, false, true, "imported: no socket"), preflight.Warn, "overlayfs: imported: no socket"},
		"in reach":          {preflight.Sharing(engine.Info{StorageDriver: "overlayfs", ContainerdImages: true}, true, true, "shared"), preflight.OK, "overlayfs: shared"},
		"need not share":    {preflight.Sharing(engine.Info{StorageDriver: "vfs"}, false, false, "copied, as asked"), preflight.OK, "as asked"},
		"own name":          {preflight.Instance("a", nil), preflight.OK, "a is used by no other"},
		"other's name":      {preflight.Instance("a", fmt.Errorf("taken: %w", errdefs.ErrFailedPrecondition)), preflight.Fail, "taken"},
		"name not known":    {preflight.Instance("a", errors.New("no answer")), preflight.Fail, "no answer"},
	})
	if l := preflight.Engine("s", engine.Info{}, errors.New("dial: permission denied")); !strings.Contains(l.Do, "as root") {
		t.Errorf("without permission: %q", l.Do)
	}
}

func TestImage(t *testing.T) {
	image := engine.Image{Size: 1 << 20}
	holds(t, map[string]judged{
		"looked at":  {preflight.Image("i", image, nil, false, "", nil), preflight.OK, "i, 1MiB"},
		"ran":        {preflight.Image("i", image, nil, true, "Docker version 28", nil), preflight.OK, "has Docker version 28"},
		"missing":    {preflight.Image("i", engine.Image{}, fmt.Errorf("no: %w", errdefs.ErrNotFound), false, "", nil), preflight.Fail, "sandbox image i is not on this host"},
		"no answer":  {preflight.Image("i", engine.Image{}, errors.New("no answer"), false, "", nil), preflight.Fail, "no answer"},
		"no dockerd": {preflight.Image("i", image, nil, true, "", &preflight.ExitError{Code: 127, Said: "dockerd: not found"}), preflight.Fail, "cannot run dockerd: it ended with code 127: dockerd: not found"},
		"no shell":   {preflight.Image("i", image, nil, true, "", fmt.Errorf("/bin/sh: %w", errdefs.ErrInvalidArgument)), preflight.Fail, "cannot run dockerd: /bin/sh"},
		"no parser":  {preflight.Image("i", image, nil, true, "", fmt.Errorf("apparmor_parser: %w", errdefs.ErrInternal)), preflight.Fail, "the engine cannot run a container of the sandbox image i: apparmor_parser"},
		"slow":       {preflight.Image("i", image, nil, true, "", fmt.Errorf("start: %w", errdefs.ErrUnavailable)), preflight.Fail, "did not run a container of the sandbox image i in time: start"},
		"cut off":    {preflight.Image("i", image, nil, true, "", context.DeadlineExceeded), preflight.Fail, "in time"},
	})
}

// TestImage_Advice: another image is advised only where the image is at fault.
func TestImage_Advice(t *testing.T) {
	for problem, mends := range map[error]bool{
		&preflight.ExitError{Code: 127}:                     true,
		fmt.Errorf("no: %w", errdefs.ErrInvalidArgument):    true,
		fmt.Errorf("no parser: %w", errdefs.ErrInternal):    false,
		errors.New("no runtime"):                            false,
		fmt.Errorf("silent: %w", errdefs.ErrUnavailable):    false,
		fmt.Errorf("no time: %w", context.DeadlineExceeded): false,
	} {
		if line := preflight.Image("i", engine.Image{}, nil, true, "", problem); strings.Contains(line.Do, "set SandboxImage") != mends {
			t.Errorf("after %q the advice is %q", problem, line.Do)
		}
	}
}

func prefixes(texts ...string) []netip.Prefix {
	var out []netip.Prefix
	for _, text := range texts {
		out = append(out, netip.MustParsePrefix(text))
	}
	return out
}

func TestNetworks(t *testing.T) {
	of := func(wanted int, parents string, change func(*preflight.Networks)) preflight.Line {
		n := preflight.Networks{Parents: prefixes(parents), Cut: sandbox.Subnets(prefixes(parents)), Wanted: wanted}
		if change != nil {
			change(&n)
		}
		return n.Judge()
	}
	holds(t, map[string]judged{
		"free":       {of(100, "10.213.0.0/19", nil), preflight.OK, "the default range 10.213.0.0/19: 512 networks are free, 0 in use by sandboxes; up to 100 are wanted"},
		"too few":    {of(5, "10.0.0.0/26", nil), preflight.Warn, "4 networks are free and 0 in use by sandboxes, but up to 5"},
		"own":        {of(4, "10.0.0.0/26", func(n *preflight.Networks) { n.Own = prefixes("10.0.0.0/28") }), preflight.OK, "3 networks are free, 1 in use"},
		"others'":    {of(3, "10.0.0.0/26", func(n *preflight.Networks) { n.Others = prefixes("10.0.0.0/30", "10.9.0.0/16") }), preflight.OK, "3 networks are free, 0 in use by sandboxes; up to 3 are wanted; other networks of the engine use 10.0.0.0/30"},
		"many":       {of(1, "10.0.0.0/24", func(n *preflight.Networks) { n.Others = sandbox.Subnets(prefixes("10.0.0.0/25")) }), preflight.OK, "10.0.0.32/28 and 5 more"},
		"full":       {of(3, "10.0.0.0/26", func(n *preflight.Networks) { n.Configured, n.Others = true, prefixes("10.0.0.0/16") }), preflight.Fail, "DockerNetworkSubnet 10.0.0.0/26 has no network left"},
		"full of us": {of(5, "10.0.0.0/28", func(n *preflight.Networks) { n.Own = prefixes("10.0.0.0/28") }), preflight.Warn, "0 networks are free and 1 in use"},
		"route":      {of(3, "10.0.0.0/26", func(n *preflight.Networks) { n.Routes = prefixes("192.168.0.0/16", "10.0.0.0/8") }), preflight.Fail, "the routes to 10.0.0.0/8"},
		"no parents": {preflight.Networks{Wanted: 50}.Judge(), preflight.Warn, "up to 50 sandboxes"},
	})
}

func TestDisk(t *testing.T) {
	of := func(free, inodes uint64) preflight.Line {
		return preflight.Disk("disk", "data", "/d", preflight.Space{Bytes: 100 << 30, FreeBytes: free, Inodes: 1000, FreeInodes: inodes}, nil)
	}
	holds(t, map[string]judged{
		"free":          {of(50<<30, 500), preflight.OK, "/d, data: 50GiB free of 100GiB, 500 inodes free of 1000"},
		"little":        {of(5<<30, 500), preflight.Warn, "that is little"},
		"full":          {of(1<<29, 500), preflight.Fail, "pods would fail"},
		"few inodes":    {of(50<<30, 40), preflight.Warn, "40 inodes"},
		"no inodes":     {of(50<<30, 3), preflight.Fail, "3 inodes"},
		"none to count": {preflight.Disk("disk", "data", "/d", preflight.Space{Bytes: 100 << 30, FreeBytes: 50 << 30}, nil), preflight.OK, "50GiB"},
		"away":          {preflight.Disk("disk", "data", "/d", preflight.Space{}, errors.New("no such device")), preflight.Fail, "no such device"},
	})
	if s, err := preflight.SpaceAt(filepath.Join(t.TempDir(), "not", "there")); err != nil || s.Bytes == 0 || s.FreeBytes > s.Bytes {
		t.Errorf("SpaceAt() of a folder to be made = %+v, %v", s, err)
	}
}

func TestFolder(t *testing.T) {
	private, open := t.TempDir(), t.TempDir()
	file := filepath.Join(private, "file")
	if err := errors.Join(os.Chmod(private, 0o700), os.Chmod(open, 0o755), os.WriteFile(file, nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	running := preflight.Running{Described: "v1 runs"}
	holds(t, map[string]judged{
		"free":       {preflight.Folder(private, preflight.Running{}, ""), preflight.OK, "private, nobody uses it"},
		"ours":       {preflight.Folder(private, running, "process 7 docker-sd"), preflight.OK, "in use by the docker-sd that runs"},
		"locked":     {preflight.Folder(private, preflight.Running{}, "process 7 flock"), preflight.Fail, "is locked by process 7 flock, and no docker-sd answers"},
		"open":       {preflight.Folder(open, preflight.Running{}, ""), preflight.Warn, "mode 0755"},
		"to be made": {preflight.Folder(filepath.Join(private, "a", "b"), preflight.Running{}, ""), preflight.OK, "will be made"},
		"a file":     {preflight.Folder(file, preflight.Running{}, ""), preflight.Fail, "not a folder"},
		"below one":  {preflight.Folder(filepath.Join(file, "x"), preflight.Running{}, ""), preflight.Fail, "not a directory"},
	})
	if left, err := os.ReadDir(private); err != nil || len(left) != 1 {
		t.Errorf("the check left %v (%v) behind", left, err)
	}
	holds(t, map[string]judged{
		"none":     {preflight.Daemon(preflight.Running{}), preflight.OK, "none runs"},
		"well":     {preflight.Daemon(running), preflight.OK, "v1 runs"},
		"troubled": {preflight.Daemon(preflight.Running{Described: "v1 runs", Troubles: []string{"no engine"}}), preflight.Fail, "cannot take pods: no engine"},
	})
}

// The kernel's own list of locks tells who has one, and nobody is kept from it.
func TestHolder(t *testing.T) {
	path := filepath.Join(t.TempDir(), "lock")
	if got := preflight.Holder(os.DirFS("/proc"), path); got != "" {
		t.Errorf("Holder() of no file = %q", got)
	}
	lock, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer lock.Close()
	if got := preflight.Holder(os.DirFS("/proc"), path); got != "" {
		t.Errorf("Holder() without a lock = %q", got)
	}
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		t.Fatal(err)
	}
	if got, want := preflight.Holder(os.DirFS("/proc"), path), fmt.Sprintf("process %d preflight.test", os.Getpid()); got != want {
		t.Errorf("Holder() = %q, want %q", got, want)
	}
}

func TestPort(t *testing.T) {
	fails := func(err error) func(string, string) error { return func(string, string) error { return err } }
	refused, taken := fails(syscall.ECONNREFUSED), fails(nil)
	port := preflight.Port{Name: "port", Network: "tcp", Address: "h:1", Taken: preflight.Warn}
	served, wide, unsafe := port, port, port
	served.Served, wide.Wide, unsafe.Wide = true, preflight.WideCalls(true, false, false), preflight.WideCalls(false, true, false)
	holds(t, map[string]judged{
		"free":          {port.Judge(refused, fails(nil)), preflight.OK, "h:1 is free"},
		"ours":          {served.Judge(taken, fails(syscall.EADDRINUSE)), preflight.OK, "answered by the docker-sd that runs"},
		"taken":         {port.Judge(taken, fails(nil)), preflight.Warn, "another process listens on h:1"},
		"not ours":      {port.Judge(fails(syscall.EACCES), fails(nil)), preflight.Fail, "belongs to another user"},
		"cannot listen": {port.Judge(refused, fails(syscall.EADDRNOTAVAIL)), preflight.Fail, "cannot listen on h:1"},
		"plain":         {wide.Judge(refused, fails(nil)), preflight.Warn, "h:1 is free; it is wider than loopback without TLS"},
		"anybody":       {unsafe.Judge(refused, fails(nil)), preflight.Fail, "whoever reaches this address can run containers"},
	})
	if l := preflight.WideCalls(true, true, false); l.Verdict != "" {
		t.Errorf("a token and TLS are not enough: %+v", l)
	}
	for address, want := range map[string]bool{"127.0.0.1:1": false, "[::1]:1": false, "localhost:1": false, "0.0.0.0:1": true, "10.1.1.1:1": true, "node.example:1": true} {
		if got := preflight.IsWide("tcp", address); got != want {
			t.Errorf("IsWide(%s) = %t", address, got)
		}
	}
	if preflight.IsWide("unix", "/s") {
		t.Error("a socket is wide")
	}
}

func TestHostPath(t *testing.T) {
	holds(t, map[string]judged{
		"there":       {preflight.HostPath(t.TempDir(), "HostPathPrefixes", true), preflight.OK, "is there"},
		"not shared":  {preflight.HostPath(t.TempDir(), "HostPathPrefixes", false), preflight.Warn, "later does not show"},
		"profiles":    {preflight.Profiles(t.TempDir()), preflight.OK, "0 entries"},
		"no profiles": {preflight.Profiles("/none/such"), preflight.Warn, "cannot be read"},
		"missing":     {preflight.HostPath("/not/there", "HostPathPrefixes", true), preflight.Warn, "are refused"},
	})
}

func TestNames(t *testing.T) {
	holds(t, map[string]judged{"two": {preflight.Names([]string{"localhost", "node"}), preflight.OK, "IP addresses and localhost, node"}})
}

func TestTrustedFlags(t *testing.T) {
	holds(t, map[string]judged{"on": {preflight.TrustedFlags(), preflight.Warn, "TrustedAnnotationFlags is on"}})
}

func TestFuse(t *testing.T) {
	holds(t, map[string]judged{
		"there":     {preflight.Fuse(true), preflight.OK, "pods can mount FUSE file systems"},
		"missing":   {preflight.Fuse(false), preflight.Warn, "there is no /dev/fuse"},
		"may mount": {preflight.MayMount(), preflight.Warn, "PrivilegedPodsMayMount is on"},
	})
}

func TestGPUs(t *testing.T) {
	devices := []gpu.Device{{Name: "H100"}, {Name: "A2"}, {Name: "H100"}}
	drivers := []gpu.Driver{{Vendor: "nvidia.com", Version: "550", CUDA: "12.4"}}
	holds(t, map[string]judged{
		"right":     {preflight.GPUs(gpu.Inventory{Devices: devices, Drivers: drivers}, nil), preflight.OK, "nvidia.com driver 550, CUDA 12.4: 2 x H100, 1 x A2"},
		"left out":  {preflight.GPUs(gpu.Inventory{Devices: devices, Skipped: []string{"GPU 3 is lost"}}, nil), preflight.Warn, "GPU 3 is lost"},
		"none":      {preflight.GPUs(gpu.Inventory{Drivers: drivers}, nil), preflight.Fail, "there are none"},
		"no driver": {preflight.GPUs(gpu.Inventory{}, monitor.ErrNoDriver), preflight.Fail, "does not answer"},
		"ways":      {preflight.Ways([]accelerators.Way{{Strategy: "devices", Err: errors.New("no file")}, {Strategy: "cdi"}, {Strategy: "nvidia-runtime"}}), preflight.OK, "by cdi; nvidia-runtime would work too"},
		"no way":    {preflight.Ways([]accelerators.Way{{Strategy: "devices", Err: errors.New("no file")}}), preflight.Fail, "devices: no file"},
	})
}

func TestBooted(t *testing.T) {
	holds(t, map[string]judged{
		"quick":  {preflight.Booted(preflight.Times{Network: 40, Create: 20, Start: 200, Ready: 300, Run: 90, Remove: 150}, nil), preflight.OK, "engine ready 300 ms, container run 90 ms, remove 150 ms"},
		"slow":   {preflight.Booted(preflight.Times{Ready: 6000}, nil), preflight.Warn, "took 6s to boot"},
		"failed": {preflight.Booted(preflight.Times{}, errors.New("no\nnetwork")), preflight.Fail, "no network"},
	})
}

func TestReport(t *testing.T) {
	r := preflight.Report{}
	r.Add(preflight.Booted(preflight.Times{}, nil), preflight.LiveRestore(engine.Info{}))
	if !r.OK || r.Count(preflight.Warn) != 1 {
		t.Errorf("a note makes %+v", r)
	}
	r.Add(preflight.Booted(preflight.Times{}, errors.New("x")))
	if r.OK || r.Count(preflight.Fail) != 1 {
		t.Errorf("what is wrong makes %+v", r)
	}
}

// Two checks do not get into each other's way, and a folder that was there stays.
func TestOwnFolder(t *testing.T) {
	root := filepath.Join(t.TempDir(), "a", "b")
	dir, remove, err := preflight.OwnFolder(root)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("the folder is %v (%v)", info, err)
	}
	if _, _, err := preflight.OwnFolder(root); err == nil || !strings.Contains(err.Error(), "another check runs") {
		t.Errorf("a second check = %v", err)
	}
	if err := remove(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Dir(root)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a folder that was made for the check is left: %v", err)
	}
	if err := os.MkdirAll(filepath.Join(root, "check"), 0o700); err != nil { // left by one that was killed
		t.Fatal(err)
	}
	if _, remove, err = preflight.OwnFolder(root); err != nil {
		t.Fatal(err)
	}
	if err := remove(); err != nil {
		t.Fatal(err)
	}
	if left, err := os.ReadDir(root); err != nil || len(left) != 0 {
		t.Errorf("DataRootFolder holds %v (%v)", left, err)
	}
}

func TestFirewall(t *testing.T) {
	here := func(name string) bool { return name == "docker0" }
	for name, c := range map[string]struct {
		f       preflight.Firewall
		verdict preflight.Verdict
		words   string
	}{
		"right":                {preflight.Firewall{Table: "docker-sd-x", Networks: []string{"br-1", "docker0"}}, preflight.OK, "docker-sd-x"},
		"no network yet":       {preflight.Firewall{}, preflight.OK, "kept"},
		"a port":               {preflight.Firewall{HostPorts: []string{"3128"}}, preflight.OK, "except the host's ports 3128"},
		"all ports":            {preflight.Firewall{HostPorts: []string{"all"}}, preflight.Warn, "pods reach the host's ports all"},
		"disabled":             {preflight.Firewall{Disabled: true}, preflight.Warn, "PodFirewall is disabled"},
		"impossible":           {preflight.Firewall{Err: errors.New("no nf_tables"), Advice: "do"}, preflight.Warn, "no nf_tables"},
		"impossible, required": {preflight.Firewall{Err: errors.New("no nf_tables"), Required: true}, preflight.Fail, "no nf_tables"},
		"another namespace":    {preflight.Firewall{Networks: []string{"br-1"}, Required: true}, preflight.Fail, "another network namespace"},
	} {
		if got := c.f.Judge(here); got.Verdict != c.verdict || !strings.Contains(got.Found, c.words) || got.Name != "firewall" {
			t.Errorf("%s: %+v", name, got)
		}
	}
}
