package clusternet_test

import (
	"errors"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/clusternet"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/clusternet/clusternettest"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// policy of a node in 192.0.2.0/24.
func policy() clusternet.Policy {
	return clusternet.Policy{Host: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("10.96.200.0/24"), netip.MustParsePrefix("172.31.0.53/32")},
		Sandboxes: []netip.Prefix{netip.MustParsePrefix("10.213.0.0/19")}}
}

// lenient is policy without a network of the host that a default route of the script covers.
func lenient() clusternet.Policy {
	p := policy()
	p.Host = p.Host[:1]
	return p
}

// pod of the namespace team with annotations.
func pod(annotations map[string]string) *v1.Pod {
	out := &v1.Pod{}
	out.Name, out.Namespace, out.Annotations = "web", "team", annotations
	out.Status.PodIP = "10.244.3.7"
	return out
}

// typical is the wish of the full mesh with typical values.
func typical(edits ...func(*clusternet.Wish)) *clusternet.Wish {
	v := clusternettest.Typical()
	out := &clusternet.Wish{Mode: clusternet.ModeMesh, Address: "10.244.3.7", Nameservers: []string{"10.244.0.99"},
		Search: []string{"team.svc.cluster.local", "svc.cluster.local", "cluster.local"},
		Tunnel: initapi.Tunnel{Server: "ws://web-team.tunnels.example.org:80", PathPrefix: v.RandomPassword, Own: []string{"10.244.3.7/32"},
			WireGuard: &initapi.WireGuard{Interface: "wg6ba7b810-9dad", PrivateKey: v.PrivateKey, PeerKey: v.PublicKey, Addresses: []string{"10.7.0.2/32"},
				AllowedIPs: []string{"10.7.0.1/32", "10.0.0.0/8", "10.244.0.0/16", "10.105.0.0/16"},
				Routes:     []string{"10.7.0.0/16", "10.96.0.0/16", "10.244.0.0/16", "10.105.0.0/16"},
				Remote:     "127.0.0.1:51820", MTU: 1280, KeepaliveSeconds: 25}}}
	for _, edit := range edits {
		edit(out)
	}
	return out
}

// ours is what the template of docker-sd makes.
func ours(t testing.TB, v clusternettest.Values) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/mesh-template.txt")
	if err != nil {
		t.Fatal(err)
	}
	return v.Fill(string(text))
}

// TestMesh: each form of the script says the same.
func TestMesh(t *testing.T) {
	v, other := clusternettest.Typical(), clusternettest.Typical()
	other.RandomPassword, other.IngressEndpoint = "another", "other.example.org"
	tls := v
	tls.IngressProtocol, tls.IngressPort, tls.MeshContactHost = "wss", "8443", "web.team-wstunnel.svc.cluster.local"
	withoutConfig := strings.Replace(v.Released(), "<<'EOFWG'", "<<'EOFOTHER'", 1)
	fewRoutes := func(w *clusternet.Wish) {
		w.Tunnel.WireGuard.Routes = []string{"10.7.0.0/16", "10.244.0.0/16", "10.105.0.0/16"}
	}
	for name, test := range map[string]struct {
		annotations map[string]string
		want        *clusternet.Wish
	}{
		"released":                        {map[string]string{clusternet.PreExec: v.Released(), clusternet.Snippet: v.Snippet()}, typical()},
		"with text of the user behind it": {map[string]string{clusternet.PreExec: v.Released() + "echo EOFMESH; wstunnel client ws://h -P x"}, typical()},
		"with a newline at its end":       {map[string]string{clusternet.PreExec: v.Released() + "\necho hello\n"}, typical()},
		"with lines of Windows' ends":     {map[string]string{clusternet.PreExec: v.Released() + "\r\n"}, typical()},
		"created again":                   {map[string]string{clusternet.PreExec: v.Released() + other.Released() + "echo hello"}, typical()},
		"with text before it":             {map[string]string{clusternet.PreExec: "#### binaries\n" + v.Released()}, typical()},
		"proposed":                        {map[string]string{clusternet.PreExec: v.Proposed()}, typical()},
		"without a configuration in it":   {map[string]string{clusternet.PreExec: withoutConfig, clusternet.Snippet: v.Snippet()}, typical(func(w *clusternet.Wish) { w.Tunnel.WireGuard.AllowedIPs = w.Tunnel.WireGuard.AllowedIPs[:2] })},
		"the template":                    {map[string]string{clusternet.PreExec: ours(t, v), clusternet.Snippet: v.Snippet()}, typical(fewRoutes)},
		"the template, created again":     {map[string]string{clusternet.PreExec: ours(t, v) + other.Released()}, typical(fewRoutes)},
		"beside a tunnel":                 {map[string]string{clusternet.PreExec: v.Released(), clusternet.Commands: other.Commands(80)}, typical()},
		"mesh-network of another value":   {map[string]string{clusternet.PreExec: v.Released(), clusternet.MeshNetwork: "enabled"}, typical()},
		"kept out":                        {map[string]string{clusternet.PreExec: v.Released(), clusternet.MeshNetwork: "disabled"}, nil},
		"in a VPN":                        {map[string]string{clusternet.PreExec: v.Released(), clusternet.PodVPN: ""}, nil},
		"in a VPN, with what is none":     {map[string]string{clusternet.PreExec: "<<'EOFMESH'", clusternet.PodVPN: "x"}, nil},
		"text of a user's own":            {map[string]string{clusternet.PreExec: "module load cuda"}, nil},
		"other annotations":               {map[string]string{"interlink.eu/wstunnel-extra-ports": "80", "slurm-job.vk.io/flags": "-N 1"}, nil},
		"nothing":                         {nil, nil},
		"proposed, by TLS and with contact": {map[string]string{clusternet.PreExec: tls.Proposed()}, typical(func(w *clusternet.Wish) {
			w.Tunnel.Server, w.ContactHost = "wss://web-team.tunnels.example.org:8443", tls.MeshContactHost
		})},
	} {
		t.Run(name, func(t *testing.T) {
			got, _, faults := clusternet.Read(pod(test.annotations), lenient())
			if diff := cmp.Diff(test.want, got); len(faults) > 0 || diff != "" {
				t.Errorf("Read(): %v (-want +got):\n%s", faults, diff)
			}
		})
	}
}

// TestTunnel: the command of tunnel mode, in the forms that an operator may give it.
func TestTunnel(t *testing.T) {
	v := clusternettest.Typical()
	tunnel := func(server string, reverse ...initapi.Reverse) *clusternet.Wish {
		return &clusternet.Wish{Mode: clusternet.ModeTunnel, Address: "10.244.3.7",
			Tunnel: initapi.Tunnel{Server: server, PathPrefix: v.RandomPassword, Reverse: reverse, Own: []string{"10.244.3.7/32"}}}
	}
	http := initapi.Reverse{Listen: "0.0.0.0:80", Target: "localhost:80"}
	for name, test := range map[string]struct {
		command string
		want    *clusternet.Wish
	}{
		"of the Virtual Kubelet": {v.Commands(80, 8888), tunnel("ws://web-team.tunnels.example.org:80", http, initapi.Reverse{Listen: "0.0.0.0:8888", Target: "localhost:8888"})},
		"in the background":      {v.Commands(80) + " &", tunnel("ws://web-team.tunnels.example.org:80", http)},
		"without a port":         {v.Commands(), nil},
		"options of an operator": {"wstunnel client --log-lvl=OFF -c 5 --http-upgrade-path-prefix='s3cr3tPrefix' --tls-verify-certificate -R 'tcp://[::]:80:127.0.0.1:8080' \\\n  wss://h.example.org/ > log 2>&1",
			tunnel("wss://h.example.org:443", initapi.Reverse{Listen: "[::]:80", Target: "127.0.0.1:8080"})},
		"by an address":   {"./wstunnel client -P s3cr3tPrefix -R tcp://80:[::1]:80 ws://[2001:DB8::1]:8080", tunnel("ws://[2001:db8::1]:8080", initapi.Reverse{Listen: "0.0.0.0:80", Target: "[::1]:80"})},
		"with a proxy":    {"./wstunnel client --http-proxy http://user:pw@p:1 -P s3cr3tPrefix -R tcp://0.0.0.0:80:localhost:80 ws://h", tunnel("ws://h:80", http)},
		"twice, the same": {v.Commands(80) + "\n" + v.Commands(80), tunnel("ws://web-team.tunnels.example.org:80", http)},
	} {
		t.Run(name, func(t *testing.T) {
			got, _, faults := clusternet.Read(pod(map[string]string{clusternet.Commands: test.command}), policy())
			if diff := cmp.Diff(test.want, got); len(faults) > 0 || diff != "" {
				t.Errorf("Read(): %v (-want +got):\n%s", faults, diff)
			}
		})
	}
}

// TestWarnings: what changes nothing is told.
func TestWarnings(t *testing.T) {
	v := clusternettest.Typical()
	for name, test := range map[string]struct {
		annotations map[string]string
		want        string
	}{
		"text of a user's own": {map[string]string{clusternet.PreExec: "module load cuda"}, "metadata.annotations[slurm-job.vk.io/pre-exec]: is not run by this node"},
		"no TCP port":          {map[string]string{clusternet.Commands: v.Commands()}, "metadata.annotations[interlink.eu/wstunnel-client-commands]: names no TCP port, so there is nothing to make a tunnel for"},
		"both":                 {map[string]string{clusternet.Commands: v.Commands(80), clusternet.PreExec: v.Released()}, "metadata.annotations[interlink.eu/wstunnel-client-commands]: is ignored, because the pod has a full mesh"},
		"a proxy": {map[string]string{clusternet.Commands: "wstunnel client -p p:1 -P x -R tcp://80:localhost:80 ws://h"},
			"metadata.annotations[interlink.eu/wstunnel-client-commands]: names a proxy, which is ignored: proxies are set on the node"},
	} {
		if _, warnings, faults := clusternet.Read(pod(test.annotations), lenient()); len(faults) > 0 || strings.Join(warnings, "\n") != test.want {
			t.Errorf("%s: %q, %v; want %q", name, warnings, faults, test.want)
		}
	}
}

// TestPolicy: what the node adds to a wish.
func TestPolicy(t *testing.T) {
	p := policy()
	p.CAs, p.Insecure = "PEM", true
	var asked []string
	p.Proxy = func(u *url.URL) (*url.URL, error) {
		asked = append(asked, u.String())
		if u.Scheme == "http" {
			return nil, nil
		}
		return url.Parse("http://user:pw@proxy.example.org:3128")
	}
	read := func(server, more string) *clusternet.Wish {
		t.Helper()
		wish, _, faults := clusternet.Read(pod(map[string]string{clusternet.Commands: "wstunnel client " + more + " -P x -R tcp://80:localhost:80 " + server}), p)
		if len(faults) > 0 {
			t.Fatal(faults)
		}
		return wish
	}
	if w := read("ws://h", "").Tunnel; w.CAs != "" || w.Insecure || w.Proxy != "" {
		t.Errorf("without TLS: %+v", w)
	}
	if w := read("wss://h:8443", "").Tunnel; w.CAs != "PEM" || !w.Insecure || w.Proxy != "http://user:pw@proxy.example.org:3128" {
		t.Errorf("with TLS: %+v", w)
	}
	if w := read("wss://h", "--tls-verify-certificate").Tunnel; w.Insecure {
		t.Error("a certificate is not checked that is to be checked")
	}
	if want := []string{"http://h:80", "https://h:8443", "https://h:443"}; !cmp.Equal(asked, want) {
		t.Errorf("the proxies of %q were asked for, want %q", asked, want)
	}
	p.Proxy = func(*url.URL) (*url.URL, error) { return nil, errors.New("http://user:pw@") }
	_, _, faults := clusternet.Read(pod(map[string]string{clusternet.Commands: "wstunnel client -P x -R tcp://80:localhost:80 ws://h"}), p)
	if len(faults) != 1 || strings.Contains(faults.ToAggregate().Error(), "pw") || !strings.Contains(faults[0].Detail, "the proxy on the way to the server h is not usable") {
		t.Errorf("a proxy that is no URL: %v", faults)
	}
}

// TestUnable: a node that can join no pod refuses those that are to join, and no others.
func TestUnable(t *testing.T) {
	p := lenient()
	p.Unable = "it has no /dev/net/tun"
	v := clusternettest.Typical()
	for annotation, text := range map[string]string{clusternet.Commands: v.Commands(80), clusternet.PreExec: v.Released()} {
		_, _, faults := clusternet.Read(pod(map[string]string{annotation: text}), p)
		if len(faults) != 1 || !strings.Contains(faults[0].Detail, p.Unable) {
			t.Errorf("%s: %v", annotation, faults)
		}
	}
	if wish, _, faults := clusternet.Read(pod(map[string]string{clusternet.PreExec: "module load cuda"}), p); wish != nil || len(faults) > 0 {
		t.Errorf("a pod that joins none: %+v, %v", wish, faults)
	}
}

// TestForget: the keys are gone, and nothing else.
func TestForget(t *testing.T) {
	p := pod(map[string]string{clusternet.Commands: "a", clusternet.PreExec: "b", clusternet.Snippet: "c", "x": "d"})
	clusternet.Forget(p)
	clusternet.Forget(&v1.Pod{})
	if len(p.Annotations) != 1 || p.Annotations["x"] != "d" {
		t.Errorf("what is left: %v", p.Annotations)
	}
}

// TestAllowList: names, patterns, addresses and CIDRs.
func TestAllowList(t *testing.T) {
	for server, allowed := range map[string]bool{
		"ws://a.tunnels.example.org": true, "ws://A.B.Tunnels.Example.Org:8080": true, "ws://tunnels.example.org": false,
		"ws://tunnels.example.org.evil.org": false, "ws://exact.example.org": true, "ws://203.0.113.9": true, "ws://203.0.114.9": false,
		"ws://[2001:db8::5]": true, "ws://[::ffff:203.0.113.9]": true, "ws://198.51.100.1": true, "ws://198.51.100.2": false,
	} {
		p := policy()
		p.Servers = []string{"*.tunnels.example.org", "Exact.example.org", "203.0.113.0/24", "2001:db8::/64", "198.51.100.1"}
		wish, _, faults := clusternet.Read(pod(map[string]string{clusternet.Commands: "wstunnel client -P x -R tcp://80:localhost:80 " + server}), p)
		if (wish != nil) != allowed {
			t.Errorf("%s: %+v, %v", server, wish, faults)
		}
		if !allowed && !strings.Contains(faults.ToAggregate().Error(), "ClusterNetworkServers") {
			t.Errorf("%s: %v", server, faults)
		}
	}
}

// TestAddress: only one that another machine can have is the pod's in the cluster.
func TestAddress(t *testing.T) {
	for ip, want := range map[string]string{"10.244.3.7": "10.244.3.7", "127.0.0.1": "", "": "", "x": "", "169.254.1.1": "", "10.213.0.5": "", "192.0.2.9": "192.0.2.9", "172.31.0.53": "", "fe80::1%eth0": "", "fd00::7": "fd00::7"} {
		p := pod(map[string]string{clusternet.Commands: clusternettest.Typical().Commands(80)})
		p.Status.PodIP = ip
		wish, _, faults := clusternet.Read(p, policy())
		if len(faults) > 0 || wish.Address != want || (len(wish.Tunnel.Own) > 0) != (want != "") {
			t.Errorf("%s: %+v, %v", ip, wish, faults)
		}
	}
}
