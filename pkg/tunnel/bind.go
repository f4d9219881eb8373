package tunnel

import (
	"net/netip"
	"sync"

	"golang.zx2c4.com/wireguard/conn"
	"golang.zx2c4.com/wireguard/tun"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/wstunnel"
)

// Packets that pass through WireGuard at once. Each has 64 KiB of address space, which
// count as memory in use once a packet has been there. The kernel merges up to
// tunBatch segments of a connection into one packet, which WireGuard splits.
const (
	bindBatch = 16
	tunBatch  = 64
)

// bind is how WireGuard sends and receives: by one tunnel to the server, to whatever
// address it is told.
type bind struct {
	datagrams *wstunnel.Datagrams

	mu   sync.Mutex
	done chan struct{}
}

func (b *bind) Open(port uint16) ([]conn.ReceiveFunc, uint16, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.done != nil {
		return nil, 0, conn.ErrBindAlreadyOpen
	}
	done := make(chan struct{})
	b.done = done
	receive := func(packets [][]byte, sizes []int, from []conn.Endpoint) (int, error) {
		n, err := b.datagrams.Receive(done, packets, sizes)
		for i := range n {
			from[i] = endpoint{}
		}
		return n, err
	}
	return []conn.ReceiveFunc{receive}, port, nil
}

func (b *bind) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.done != nil {
		close(b.done)
		b.done = nil
	}
	return nil
}

func (b *bind) Send(packets [][]byte, _ conn.Endpoint) error {
	b.datagrams.Send(packets)
	return nil
}

func (b *bind) SetMark(uint32) error                        { return nil }
func (b *bind) BatchSize() int                              { return bindBatch }
func (b *bind) ParseEndpoint(string) (conn.Endpoint, error) { return endpoint{}, nil }

// endpoint is the only one there is.
type endpoint struct{}

const endpointName = "server"

func (endpoint) ClearSrc()           {}
func (endpoint) SrcToString() string { return "" }
func (endpoint) DstToString() string { return endpointName }
func (endpoint) DstToBytes() []byte  { return []byte(endpointName) }
func (endpoint) DstIP() netip.Addr   { return netip.IPv4Unspecified() }
func (endpoint) SrcIP() netip.Addr   { return netip.IPv4Unspecified() }

// boundTUN takes batches of our size: WireGuard keeps buffers for the largest that the
// device or the bind can take.
type boundTUN struct{ tun.Device }

func (t *boundTUN) BatchSize() int { return min(tunBatch, t.Device.BatchSize()) }
