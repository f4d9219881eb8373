package podspec

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"
)

func TestHostname(t *testing.T) {
	long := strings.Repeat("p", 62)
	for name, c := range map[string]struct {
		edit func(*v1.Pod)
		want string
	}{
		"the pod's name":               {func(*v1.Pod) {}, "web"},
		"as asked":                     {func(p *v1.Pod) { p.Spec.Hostname = "db" }, "db"},
		"a name with dots":             {func(p *v1.Pod) { p.Name = "web.v1" }, "web.v1"},
		"63 characters":                {func(p *v1.Pod) { p.Name = long + "q" }, long + "q"},
		"cut to 63":                    {func(p *v1.Pod) { p.Name = long + "qr" }, long + "q"},
		"cut before a dash":            {func(p *v1.Pod) { p.Name = long + "-r" }, long},
		"cut before dots and dashes":   {func(p *v1.Pod) { p.Name = long[:60] + "-.-r" }, long[:60]},
		"subdomain alone":              {func(p *v1.Pod) { p.Spec.Subdomain = "sub" }, "web"},
		"full name":                    {func(p *v1.Pod) { p.Spec.Subdomain, p.Spec.SetHostnameAsFQDN = "sub", new(true) }, "web.sub.team.svc.cluster.local"},
		"full name not wanted":         {func(p *v1.Pod) { p.Spec.Subdomain, p.Spec.SetHostnameAsFQDN = "sub", new(false) }, "web"},
		"full name without subdomain":  {func(p *v1.Pod) { p.Spec.SetHostnameAsFQDN = new(true) }, "web"},
		"full name of a name as asked": {func(p *v1.Pod) { p.Spec.Hostname, p.Spec.Subdomain, p.Spec.SetHostnameAsFQDN = "db", "sub", new(true) }, "db.sub.team.svc.cluster.local"},
	} {
		t.Run(name, func(t *testing.T) {
			pod := plainPod()
			c.edit(pod)
			if got := Hostname(pod); got != c.want {
				t.Errorf("got %s, want %s", got, c.want)
			}
		})
	}
}

func TestHostsFile(t *testing.T) {
	const head = "# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n" +
		"fe00::0\tip6-localnet\nfe00::0\tip6-mcastprefix\nfe00::1\tip6-allnodes\nfe00::2\tip6-allrouters\n"
	for name, c := range map[string]struct {
		edit func(*v1.Pod)
		want string
	}{
		"the pod's name": {func(*v1.Pod) {}, "10.0.0.2\tweb\n"},
		"subdomain":      {func(p *v1.Pod) { p.Spec.Hostname, p.Spec.Subdomain = "db", "sub" }, "10.0.0.2\tdb.sub.team.svc.cluster.local\tdb\n"},
		"full name of a name as asked": {func(p *v1.Pod) { p.Spec.Hostname, p.Spec.Subdomain, p.Spec.SetHostnameAsFQDN = "db", "sub", new(true) },
			"10.0.0.2\tdb.sub.team.svc.cluster.local\tdb\n"},
		"full name of the pod's name": {func(p *v1.Pod) { p.Spec.Subdomain, p.Spec.SetHostnameAsFQDN = "sub", new(true) },
			"10.0.0.2\tweb.sub.team.svc.cluster.local\tweb\n"},
		"aliases": {func(p *v1.Pod) {
			p.Spec.HostAliases = []v1.HostAlias{{IP: "10.1.2.3", Hostnames: []string{"db.local", "db"}}, {IP: "fd00::1", Hostnames: []string{"six"}}}
		}, "10.0.0.2\tweb\n\n# Entries added by HostAliases.\n10.1.2.3\tdb.local\tdb\nfd00::1\tsix\n"},
	} {
		t.Run(name, func(t *testing.T) {
			pod := plainPod()
			c.edit(pod)
			if diff := cmp.Diff(head+c.want, HostsFile(pod, "10.0.0.2")); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}
