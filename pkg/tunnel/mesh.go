package tunnel

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
	"golang.zx2c4.com/wireguard/device"
	"golang.zx2c4.com/wireguard/tun"

	"github.com/containerd/containerd/log"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/wstunnel"
)

// Times of a mesh, see the WireGuard paper, section 6.1.
const (
	// silentAfter is how long a handshake may take that is called unanswered, and the
	// least time between two.
	silentAfter = 5 * time.Second
	// stale is the age of the last handshake at which its keys have expired, where there
	// are keepalives to have new ones made.
	stale = 185 * time.Second
)

// overhead of a WireGuard packet around its payload, padding included, in bytes.
const overhead = 32 + 16

// mesh is a WireGuard interface whose one peer is reached through the server.
type mesh struct {
	wish      initapi.WireGuard
	datagrams *wstunnel.Datagrams
	note      func()

	mu     sync.Mutex
	device *device.Device
	// connections is how many of the server's have had a handshake begun.
	connections int
	begun       time.Time
}

func newMesh(wish initapi.WireGuard, client *wstunnel.Client, note func()) (*mesh, error) {
	m := &mesh{wish: wish, note: note}
	var err error
	m.datagrams, err = client.Datagrams(wish.Remote, max(wish.MTU, device.DefaultMTU)+overhead, m.reconnected)
	return m, err
}

// errRemoved says that the interface was taken away by the pod, which needs NET_ADMIN.
var errRemoved = errors.New("the network interface of the mesh was removed")

// run makes the interface, calls ready, and carries packets until ctx ends.
func (m *mesh) run(ctx context.Context, ready func() error) error {
	settings, err := settings(m.wish)
	if err != nil {
		return err
	}
	interfaceOf, err := tun.CreateTUN(m.wish.Interface, m.wish.MTU)
	if err != nil {
		return inWords(err)
	}
	d := device.NewDevice(&boundTUN{interfaceOf}, &bind{datagrams: m.datagrams}, &device.Logger{
		Verbosef: device.DiscardLogf,
		Errorf:   func(format string, args ...any) { log.G(ctx).Warnf("WireGuard: "+format, args...) },
	})
	defer d.Close()
	if err := d.IpcSet(settings); err != nil {
		return fmt.Errorf("set WireGuard up: %w", err)
	}
	if err := d.Up(); err != nil {
		return fmt.Errorf("start WireGuard: %w", err)
	}
	if err := setUpLink(m.wish); err != nil {
		return err
	}
	m.use(d)
	defer m.use(nil)
	if err := ready(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { _ = m.datagrams.Run(ctx) }) // ends with ctx only
	select {
	case <-ctx.Done():
		err = ctx.Err()
	case <-d.Wait():
		err = errRemoved
	}
	cancel()
	running.Wait()
	return err
}

// inWords explains why there is no interface.
func inWords(err error) error {
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("the sandbox has no /dev/net/tun: it was made without the cluster's network: %w", err)
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		return fmt.Errorf("the sandbox may not use /dev/net/tun: %w", err)
	}
	return fmt.Errorf("make the network interface of the mesh: %w", err)
}

func (m *mesh) use(d *device.Device) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.device = d
}

// reconnected begins a handshake on each new connection: the peer learns the way back
// from it, and its answer shows that the tunnel carries data.
func (m *mesh) reconnected() {
	status := m.datagrams.Status()
	m.mu.Lock()
	fresh := status.Connected && status.Connections != m.connections
	if fresh {
		m.connections, m.begun = status.Connections, time.Now()
	}
	m.mu.Unlock()
	if fresh {
		m.handshake(true)
	}
	m.note()
}

// handshake begins one. anew has it begun although another one is under way.
func (m *mesh) handshake(anew bool) {
	key, err := publicKey(m.wish.PeerKey)
	m.mu.Lock()
	d := m.device
	m.mu.Unlock()
	if d == nil || err != nil {
		return
	}
	peer := d.LookupPeer(key)
	if peer == nil {
		return
	}
	if anew {
		peer.ExpireCurrentKeypairs()
	}
	_ = peer.SendHandshakeInitiation(false) // the next one follows
}

// seen is what the mesh is like at a moment.
type seen struct {
	up            bool
	handshake     time.Time
	reconnections int
	err           error
}

func (m *mesh) state() seen {
	status := m.datagrams.Status()
	m.mu.Lock()
	d, begun := m.device, m.begun
	m.mu.Unlock()
	out := seen{handshake: lastHandshake(d), reconnections: max(status.Connections-1, 0), err: status.Err}
	answered := !out.handshake.Before(status.Since) && !out.handshake.IsZero()
	age := time.Since(out.handshake)
	switch {
	case !status.Connected:
	case answered && (m.wish.KeepaliveSeconds == 0 || age < stale):
		out.up = true
	case answered:
		out.err = fmt.Errorf("the WireGuard peer of the mesh has not answered for %s", age.Round(time.Second))
	case time.Since(begun) > silentAfter:
		out.err = fmt.Errorf("the WireGuard peer of the mesh does not answer: no handshake for %s; one of the keys may be wrong, or nothing listens at %s behind the tunnel's server",
			time.Since(status.Since).Round(time.Second), m.wish.Remote)
		m.again()
	}
	return out
}

// again repeats a handshake that was not answered, at WireGuard's pace.
func (m *mesh) again() {
	m.mu.Lock()
	due := time.Since(m.begun) > 2*silentAfter
	m.mu.Unlock()
	if due {
		m.handshake(false) // no more than one each RekeyTimeout
	}
}

// lastHandshake of the only peer.
func lastHandshake(d *device.Device) time.Time {
	if d == nil {
		return time.Time{}
	}
	text, err := d.IpcGet()
	if err != nil {
		return time.Time{}
	}
	var seconds, nanos int64
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		switch name {
		case "last_handshake_time_sec":
			seconds, _ = strconv.ParseInt(value, 10, 64)
		case "last_handshake_time_nsec":
			nanos, _ = strconv.ParseInt(value, 10, 64)
		}
	}
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(seconds, nanos)
}
