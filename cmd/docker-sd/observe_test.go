package main

import (
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/admin"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
)

// observed is an observer with a data folder of its own.
func observed(t *testing.T, address string) (*observer, config.Config) {
	t.Helper()
	settings := config.Default()
	settings.DataRootFolder, settings.AdminAddress = t.TempDir(), address
	o, err := newObserver(t.Context(), settings, gpu.NewLedger(gpu.Sharing{}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, listener := range o.listeners {
			listener.Close()
		}
	})
	return o, settings
}

// Two docker-sd on one host both start with the default address; one that an
// operator has chosen must be free.
func TestAdminAddress(t *testing.T) {
	free, settings := observed(t, "127.0.0.1:0")
	if err := free.listen(t.Context(), settings); err != nil || len(free.listeners) != 2 {
		t.Fatalf("listen() = %v with %d listeners, want the socket and the address", err, len(free.listeners))
	}
	off, settings := observed(t, "off")
	if err := off.listen(t.Context(), settings); err != nil || len(off.listeners) != 1 {
		t.Errorf("listen() = %v with %d listeners, want the socket alone", err, len(off.listeners))
	}
	taken, settings := observed(t, free.listeners[1].Addr().String())
	if err := taken.listen(t.Context(), settings); err == nil || !strings.Contains(err.Error(), "AdminAddress") {
		t.Errorf("listen() on an address in use = %v, want an error that names the key", err)
	}
	// Held here or by somebody else: it is taken.
	if held, err := net.Listen("tcp", config.DefaultAdminAddress); err == nil {
		defer held.Close()
	}
	second, settings := observed(t, config.DefaultAdminAddress)
	if err := second.listen(t.Context(), settings); err != nil || len(second.listeners) != 1 {
		t.Errorf("listen() with the default address in use = %v with %d listeners, want the socket alone", err, len(second.listeners))
	}
	// A check asks which of them has the address.
	if first, other := free.Info().Admin, second.Info().Admin; first != free.listeners[1].Addr().String() || other != "" {
		t.Errorf("the admin addresses are %q and %q", first, other)
	}
}

// Before the engine has answered there is something to read already.
func TestViewsAtTheStart(t *testing.T) {
	o, settings := observed(t, "off")
	if err := o.listen(t.Context(), settings); err != nil {
		t.Fatal(err)
	}
	if got := o.listeners[0].Addr().String(); got != filepath.Join(settings.DataRootFolder, admin.SocketName) {
		t.Errorf("the socket is %s", got)
	}
	if info := o.Info(); len(info.Troubles) == 0 || info.Version != version || info.MaxPods != settings.MaxPods {
		t.Errorf("Info() = %+v, want a trouble", info)
	}
	if o.Pods().Pods == nil || o.Pool().Sandboxes == nil || o.GPUs().Devices == nil || o.Events().Events == nil {
		t.Error("a list that is empty is not there at all")
	}
}
