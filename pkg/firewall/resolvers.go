package firewall

import (
	"bufio"
	"net/netip"
	"os"
	"slices"
	"strings"
)

// resolverFiles are where an engine looks for the servers that its containers'
// names are asked of. It takes the second where the first names only the resolver
// of systemd on loopback.
var resolverFiles = []string{"/etc/resolv.conf", "/run/systemd/resolve/resolv.conf"}

// Resolvers are the name servers of the host, without those on loopback.
func Resolvers() []netip.Addr { return hostResolvers() }

// hostResolvers are the name servers of the host. The engine asks them from the
// network namespace of the container, so that the questions come from the
// sandbox's network; those on loopback it asks from the host's namespace.
func hostResolvers() []netip.Addr {
	var out []netip.Addr
	for _, path := range resolverFiles {
		file, err := os.Open(path)
		if err != nil {
			continue
		}
		lines := bufio.NewScanner(file)
		for lines.Scan() {
			words := strings.Fields(lines.Text())
			if len(words) < 2 || words[0] != "nameserver" {
				continue
			}
			if address, err := netip.ParseAddr(words[1]); err == nil && !address.IsLoopback() {
				out = append(out, address.Unmap().WithZone(""))
			}
		}
		_ = file.Close() // it was only read
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return slices.Compact(out)
}
