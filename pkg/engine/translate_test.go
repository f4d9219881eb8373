package engine

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/api/types/mount"
	"github.com/docker/go-connections/nat"
	"github.com/docker/go-units"
	"github.com/google/go-cmp/cmp"
)

// expected is what an empty Spec becomes; edit changes it.
func expected(edit func(*container.Config, *container.HostConfig)) [2]any {
	config := &container.Config{Healthcheck: &container.HealthConfig{Test: []string{"NONE"}}}
	host := &container.HostConfig{Mounts: []mount.Mount{}, LogConfig: container.LogConfig{Type: "json-file"}, Init: new(bool)}
	if edit != nil {
		edit(config, host)
	}
	return [2]any{config, host}
}

type (
	configOf = container.Config
	hostOf   = container.HostConfig
)

// translations has at least one entry per field of Spec and Resources; the keys
// begin with the field's name.
var translations = []struct {
	name string
	spec Spec
	want func(*configOf, *hostOf)
}{
	{"Name", Spec{Name: "pod"}, nil}, // a parameter of the call
	{"Image", Spec{Image: "sha256:1"}, func(c *configOf, _ *hostOf) { c.Image = "sha256:1" }},
	{"Hostname", Spec{Hostname: "web"}, func(c *configOf, _ *hostOf) { c.Hostname = "web" }},
	{"Entrypoint", Spec{Entrypoint: []string{"a b", "$c"}}, func(c *configOf, _ *hostOf) { c.Entrypoint = []string{"a b", "$c"} }},
	{"Cmd", Spec{Cmd: []string{"`d`", ""}}, func(c *configOf, _ *hostOf) { c.Cmd = []string{"`d`", ""} }},
	{"Env", Spec{Env: []string{"A=", "B=x\ny"}}, func(c *configOf, _ *hostOf) { c.Env = []string{"A=", "B=x\ny"} }},
	{"WorkingDir", Spec{WorkingDir: "/w"}, func(c *configOf, _ *hostOf) { c.WorkingDir = "/w" }},
	{"User", Spec{User: "1:2"}, func(c *configOf, _ *hostOf) { c.User = "1:2" }},
	{"Labels", Spec{Labels: map[string]string{"k": "v"}}, func(c *configOf, _ *hostOf) { c.Labels = map[string]string{"k": "v"} }},
	{"Stdin", Spec{Stdin: true}, func(c *configOf, _ *hostOf) { c.OpenStdin = true }},
	{"StdinOnce", Spec{StdinOnce: true}, func(c *configOf, _ *hostOf) { c.StdinOnce = true }},
	{"TTY", Spec{TTY: true}, func(c *configOf, _ *hostOf) { c.Tty = true }},
	{"StopSignal", Spec{StopSignal: "SIGUSR1"}, func(c *configOf, _ *hostOf) { c.StopSignal = "SIGUSR1" }},
	{"Init", Spec{Init: true}, func(_ *configOf, h *hostOf) { *h.Init = true }},
	{"Network", Spec{Network: "host"}, func(_ *configOf, h *hostOf) { h.NetworkMode = "host" }},
	{"DNS", Spec{DNS: []string{"10.0.0.1"}}, func(_ *configOf, h *hostOf) { h.DNS = []string{"10.0.0.1"} }},
	{"DNSSearch", Spec{DNSSearch: []string{"svc"}}, func(_ *configOf, h *hostOf) { h.DNSSearch = []string{"svc"} }},
	{"DNSOptions", Spec{DNSOptions: []string{"ndots:5"}}, func(_ *configOf, h *hostOf) { h.DNSOptions = []string{"ndots:5"} }},
	{"Ports", Spec{Ports: []Port{{"127.0.0.1", 8080, 80, "tcp"}, {"", 8081, 80, "tcp"}, {"", 53, 53, "udp"}}}, func(c *configOf, h *hostOf) {
		c.ExposedPorts = nat.PortSet{"80/tcp": {}, "53/udp": {}}
		h.PortBindings = nat.PortMap{"80/tcp": {{HostIP: "127.0.0.1", HostPort: "8080"}, {HostPort: "8081"}}, "53/udp": {{HostPort: "53"}}}
	}},
	{"Mounts", Spec{Mounts: []Mount{
		{Source: "/a", Target: "/b", ReadOnly: true},
		{Source: "/a", Target: "/c", Propagation: "rslave"},
		{Source: "/a", Target: "/d", NonRecursive: true},
		{Target: "/var/lib/docker", Volume: true},
		{Source: "named", Target: "/e", Volume: true},
		{Source: "ours", Target: "/f", Volume: true, Instance: "i"},
		{Source: "ignored", Target: "/g", Tmpfs: true},
	}}, func(_ *configOf, h *hostOf) {
		h.Mounts = []mount.Mount{
			{Type: "bind", Source: "/a", Target: "/b", ReadOnly: true},
			{Type: "bind", Source: "/a", Target: "/c", BindOptions: &mount.BindOptions{Propagation: "rslave"}},
			{Type: "bind", Source: "/a", Target: "/d", BindOptions: &mount.BindOptions{NonRecursive: true}},
			{Type: "volume", Target: "/var/lib/docker"},
			{Type: "volume", Source: "named", Target: "/e"},
			{Type: "volume", Source: "ours", Target: "/f", VolumeOptions: &mount.VolumeOptions{Labels: map[string]string{"docker-sd.instance": "i"}}},
			{Type: "tmpfs", Target: "/g"},
		}
	}},
	{"Devices", Spec{Devices: []Device{{"/dev/a", "/dev/b", "rw"}}}, func(_ *configOf, h *hostOf) {
		h.Devices = []container.DeviceMapping{{PathOnHost: "/dev/a", PathInContainer: "/dev/b", CgroupPermissions: "rw"}}
	}},
	{"CapAdd", Spec{CapAdd: []string{"CHOWN"}}, func(_ *configOf, h *hostOf) { h.CapAdd = []string{"CHOWN"} }},
	{"CapDrop", Spec{CapDrop: []string{"ALL"}}, func(_ *configOf, h *hostOf) { h.CapDrop = []string{"ALL"} }},
	{"Privileged", Spec{Privileged: true}, func(_ *configOf, h *hostOf) { h.Privileged = true }},
	{"ReadonlyRootfs", Spec{ReadonlyRootfs: true}, func(_ *configOf, h *hostOf) { h.ReadonlyRootfs = true }},
	{"SecurityOpt", Spec{SecurityOpt: []string{"seccomp=unconfined"}}, func(_ *configOf, h *hostOf) { h.SecurityOpt = []string{"seccomp=unconfined"} }},
	{"UnmaskedSystemPaths", Spec{UnmaskedSystemPaths: true}, func(_ *configOf, h *hostOf) {
		h.MaskedPaths, h.ReadonlyPaths = []string{}, []string{}
	}},
	{"GroupAdd", Spec{GroupAdd: []string{"7"}}, func(_ *configOf, h *hostOf) { h.GroupAdd = []string{"7"} }},
	{"PIDMode", Spec{PIDMode: "container:x"}, func(_ *configOf, h *hostOf) { h.PidMode = "container:x" }},
	{"IPCMode", Spec{IPCMode: "host"}, func(_ *configOf, h *hostOf) { h.IpcMode = "host" }},
	{"PrivateCgroupNamespace", Spec{PrivateCgroupNamespace: true}, func(_ *configOf, h *hostOf) { h.CgroupnsMode = "private" }},
	{"Runtime", Spec{Runtime: "nvidia"}, func(_ *configOf, h *hostOf) { h.Runtime = "nvidia" }},
	{"CDIDevices", Spec{CDIDevices: []string{"nvidia.com/gpu=0"}}, func(_ *configOf, h *hostOf) {
		h.DeviceRequests = []container.DeviceRequest{{Driver: "cdi", DeviceIDs: []string{"nvidia.com/gpu=0"}}}
	}},
	{"Log", Spec{Log: LogLimits{MaxBytes: 1 << 20, MaxFiles: 3}}, func(_ *configOf, h *hostOf) {
		h.LogConfig = container.LogConfig{Type: "local", Config: map[string]string{"max-size": "1048576b", "max-file": "3", "compress": "false"}}
	}},
	{"Log without a number of files", Spec{Log: LogLimits{MaxBytes: 7}}, func(_ *configOf, h *hostOf) {
		h.LogConfig = container.LogConfig{Type: "local", Config: map[string]string{"max-size": "7b", "max-file": "1", "compress": "false"}}
	}},
	{"Resources", Spec{}, nil},
	{"Resources.NanoCPUs", Spec{Resources: Resources{NanoCPUs: 1e8}}, func(_ *configOf, h *hostOf) { h.NanoCPUs = 1e8 }},
	{"Resources.CPUShares", Spec{Resources: Resources{CPUShares: 2}}, func(_ *configOf, h *hostOf) { h.CPUShares = 2 }},
	{"Resources.MemoryBytes", Spec{Resources: Resources{MemoryBytes: 64 << 20}}, func(_ *configOf, h *hostOf) {
		h.Memory, h.MemorySwap = 64<<20, 64<<20
	}},
	{"Resources.PidsLimit", Spec{Resources: Resources{PidsLimit: 9}}, func(_ *configOf, h *hostOf) { h.PidsLimit = new(int64); *h.PidsLimit = 9 }},
	{"Resources.OOMScoreAdj", Spec{Resources: Resources{OOMScoreAdj: -998}}, func(_ *configOf, h *hostOf) { h.OomScoreAdj = -998 }},
	{"Resources.Ulimits", Spec{Resources: Resources{Ulimits: []Ulimit{{"nofile", 1, 2}}}}, func(_ *configOf, h *hostOf) {
		h.Ulimits = []*units.Ulimit{{Name: "nofile", Soft: 1, Hard: 2}}
	}},
	{"Resources.CgroupParent", Spec{Resources: Resources{CgroupParent: "/p"}}, func(_ *configOf, h *hostOf) { h.CgroupParent = "/p" }},
}

func TestTranslate(t *testing.T) {
	for _, c := range translations {
		t.Run(c.name, func(t *testing.T) {
			config, host, err := translate(c.spec)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(expected(c.want), [2]any{config, host}); diff != "" {
				t.Errorf("translate() (-want +got):\n%s", diff)
			}
		})
	}
}

// Every field of a Spec must be in the table above, and, but for the name, must
// change what is asked of the engine.
func TestTranslateCoversEveryField(t *testing.T) {
	covered := map[string]Spec{}
	for _, c := range translations {
		covered[c.name] = c.spec
	}
	check := func(prefix string, part reflect.Type, of func(Spec) reflect.Value) {
		for i := range part.NumField() {
			name := prefix + part.Field(i).Name
			spec, found := covered[name]
			switch {
			case !found:
				t.Errorf("field %s is in no test of translate", name)
			case name == "Name" || name == "Resources":
			case of(spec).Field(i).IsZero():
				t.Errorf("the test of field %s does not set it", name)
			default:
				config, host, err := translate(spec)
				if err != nil || cmp.Equal(expected(nil), [2]any{config, host}) {
					t.Errorf("field %s does not reach the engine (%v)", name, err)
				}
			}
		}
	}
	check("", reflect.TypeFor[Spec](), func(s Spec) reflect.Value { return reflect.ValueOf(s) })
	check("Resources.", reflect.TypeFor[Resources](), func(s Spec) reflect.Value { return reflect.ValueOf(s.Resources) })

	// The parts of lists: with each field of the table's entries set somewhere.
	for _, list := range []any{covered["Mounts"].Mounts, covered["Ports"].Ports, covered["Devices"].Devices,
		covered["Resources.Ulimits"].Resources.Ulimits, []LogLimits{covered["Log"].Log}} {
		entries := reflect.ValueOf(list)
		part := entries.Type().Elem()
		for i := range part.NumField() {
			set := false
			for j := range entries.Len() {
				set = set || !entries.Index(j).Field(i).IsZero()
			}
			if !set {
				t.Errorf("no test of translate sets %s", fmt.Sprint(part.Name(), ".", part.Field(i).Name))
			}
		}
	}
}
