package doctor

import (
	"context"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/machine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/preflight"
)

// dialTimeout is long for this host.
const dialTimeout = 2 * time.Second

func dial(network, address string) error {
	conn, err := net.DialTimeout(network, address, dialTimeout)
	if err != nil {
		return err
	}
	return conn.Close()
}

// bind listens for a moment; a socket's folder is looked at only.
func bind(network, address string) error {
	if network != "unix" {
		listener, err := net.Listen(network, address)
		if err != nil {
			return err
		}
		return listener.Close()
	}
	if info, err := os.Lstat(address); err == nil && info.Mode().Type() != os.ModeSocket {
		return fmt.Errorf("%s exists and is not a socket", address)
	}
	if err := unix.Access(filepath.Dir(address), unix.W_OK|unix.X_OK); err != nil {
		return &os.PathError{Op: "write to", Path: filepath.Dir(address), Err: err}
	}
	return nil
}

// ports judges the addresses that docker-sd listens on, and what callers have to bring along.
func (p *examination) ports(ctx context.Context) {
	p.probes.lines(ctx, "listen address", func(context.Context) []preflight.Line { return p.sidecarPort() })
	p.probes.lines(ctx, "access", func(context.Context) []preflight.Line { return p.access() })
	p.probes.lines(ctx, "interlink api", func(context.Context) []preflight.Line { return p.virtualKubelets() })
	p.probes.lines(ctx, "admin address", func(context.Context) []preflight.Line { return p.adminPort() })
}

// sidecarPort is where interLink's API server calls.
func (p *examination) sidecarPort() []preflight.Line {
	s, runs := p.settings, p.running.Described != ""
	network, address := s.Listen()
	calls := preflight.Port{Name: "listen address", Network: network, Address: address, Served: runs && p.running.Address == address, Taken: preflight.Fail}
	if preflight.IsWide(network, address) {
		calls.Wide = preflight.WideCalls(s.Access.TokenFile != "", s.Access.TLS(), s.Access.ClientCAFile != "")
	}
	lines := []preflight.Line{calls.Judge(dial, bind)}
	if network == "unix" && s.SocketShare.Group != "" {
		lines = append(lines, socketGroup(s.SocketShare.Group, address))
	}
	return lines
}

// access judges files of tokens and certificates, and the names that calls may use.
func (p *examination) access() []preflight.Line {
	var lines []preflight.Line
	callers, err := p.setup.Callers(p.settings, p.settings.Access.Callers)
	if err != nil {
		lines = append(lines, preflight.Line{Name: "access", Verdict: preflight.Fail, Found: err.Error(), Do: "see docs/security.md"})
	}
	if network, _ := p.settings.Listen(); network == "tcp" && callers.Hosts != nil {
		lines = append(lines, preflight.Names(slices.Sorted(maps.Keys(callers.Hosts))))
	}
	return lines
}

// adminPort is where operators call.
func (p *examination) adminPort() []preflight.Line {
	operators, on := p.settings.Admin()
	if !on {
		return nil
	}
	port := preflight.Port{Name: "admin address", Network: "tcp", Address: operators, Served: p.running.Admin, Taken: preflight.Fail}
	if operators == config.DefaultAdminAddress {
		port.Taken = preflight.Warn // docker-sd starts without it
	}
	if preflight.IsWide("tcp", operators) {
		port.Wide = preflight.WideAdmin()
	}
	return []preflight.Line{port.Judge(dial, bind)}
}

// virtualKubelets judges the address for them, and what both sides show.
func (p *examination) virtualKubelets() []preflight.Line {
	own := p.settings.InterlinkAPI
	if !own.On() {
		return []preflight.Line{preflight.InterlinkOff()}
	}
	network, address := p.settings.InterlinkAPI.Listen()
	port := preflight.Port{Name: "interlink api", Network: network, Address: address, Served: p.running.Interlink == address, Taken: preflight.Fail}
	if preflight.IsWide(network, address) {
		port.Wide = preflight.WideInterlink(own.ClientCAFile != "")
	}
	lines := []preflight.Line{port.Judge(dial, bind)}
	if network == "unix" && p.settings.SocketShare.Group != "" {
		lines = append(lines, socketGroup(p.settings.SocketShare.Group, address))
	}
	callers, err := p.setup.Callers(p.settings, own.Callers)
	if err != nil {
		return append(lines, preflight.Line{Name: "interlink api access", Verdict: preflight.Fail, Found: "InterlinkAPI: " + err.Error(), Do: "see docs/security.md"})
	}
	if callers.TLS == nil {
		return lines
	}
	shown, err := callers.TLS.GetConfigForClient(nil)
	if err != nil || shown.Certificates[0].Leaf == nil {
		return lines // it was read above
	}
	return append(lines, preflight.Certificate(shown.Certificates[0].Leaf, own.CertFile, time.Now()))
}

// socketGroup judges whether the group gets to the socket.
func socketGroup(name, path string) preflight.Line {
	gid, err := machine.GroupID(name)
	if err != nil {
		return preflight.Line{Name: "socket group", Verdict: preflight.Fail, Found: err.Error(), Do: "docker-sd does not start with it: name a group of this host"}
	}
	return preflight.SocketFolders(path, uint32(gid), os.Stat)
}
