package doctor

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
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
	if network == "unix" {
		lines = append(lines, interlinkSocket(s.SocketShare, address, calls.Served)...)
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
	if network == "unix" {
		lines = append(lines, interlinkSocket(p.settings.SocketShare, address, port.Served)...)
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

// interlinkSocket judges who gets to a socket for pods.
func interlinkSocket(share config.SocketShare, path string, served bool) []preflight.Line {
	gid := os.Getegid()
	var lines []preflight.Line
	if name := share.Group; name != "" {
		var err error
		if gid, err = machine.GroupID(name); err != nil {
			return []preflight.Line{{Name: "socket group", Verdict: preflight.Fail, Found: err.Error(), Do: "docker-sd does not start with it: name a group of this host"}}
		}
		lines = append(lines, preflight.SocketFolders(path, uint32(gid), os.Stat))
	}
	var seen *preflight.Socket
	if owner, err := machine.OwnerOf(path); err == nil {
		found := socketOf(path, owner)
		seen = &found
	}
	wanted := machine.Owned(uint32(os.Geteuid()), uint32(gid))
	wanted.Mode = share.Rights()
	return append(lines, preflight.InterlinkSocket(socketOf(path, wanted), seen, served))
}

func socketOf(path string, o machine.Owner) preflight.Socket {
	return preflight.Socket{Path: path, User: o.User, Group: o.Group, Mode: o.Mode}
}

// engineSocket judges who gets to the engine, where it is on a socket of this host.
func (p *examination) engineSocket() []preflight.Line {
	path, local := strings.CutPrefix(cmp.Or(p.settings.DockerHost, "unix:///var/run/docker.sock"), "unix://")
	owner, err := machine.OwnerOf(path)
	if !local || err != nil {
		return nil // the line on the engine says why it does not answer
	}
	return []preflight.Line{preflight.EngineSocket(socketOf(path, owner))}
}
