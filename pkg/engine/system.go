package engine

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// pingTimeout is shorter than callTimeout: the caller of a ping waits for nothing else.
const pingTimeout = 5 * time.Second

// systemAPI is the part of a Client for the engine itself and its events.
type systemAPI struct{ *connection }

// Ping answers nil when the engine does.
func (c systemAPI) Ping(ctx context.Context) error {
	return c.pingWithin(ctx, min(c.limit, pingTimeout))
}

// Accepts is nil when the engine takes a new connection and answers on it. An engine that
// is being stopped closes its address first, and goes on answering on the connections
// that it has while it ends its containers. A start that it is given then can leave a
// task behind with which the container never starts again (20.10).
func (c systemAPI) Accepts(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, min(c.limit, pingTimeout))
	defer cancel()
	fresh := c.pool.Clone()
	fresh.DisableKeepAlives = true // nor does it find one that another call has left
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://engine/_ping", nil)
	if err != nil {
		return err
	}
	answer, err := fresh.RoundTrip(request)
	if err != nil {
		return fmt.Errorf("ping engine: %w", classify(ctx, err))
	}
	return answer.Body.Close()
}

// Info describes the engine and its host.
func (c systemAPI) Info(ctx context.Context) (Info, error) {
	ctx, cancel := context.WithTimeout(ctx, c.limit)
	defer cancel()
	sdk := c.sdk(ctx)
	info, err := sdk.Info(ctx)
	if err != nil {
		return Info{}, fmt.Errorf("engine info: %w", classify(ctx, err))
	}
	out := Info{
		Version:       info.ServerVersion,
		APIVersion:    sdk.ClientVersion(),
		StorageDriver: info.Driver,
		RootDir:       info.DockerRootDir,
		CPUs:          info.NCPU,
		MemoryBytes:   info.MemTotal,
		LiveRestore:   info.LiveRestoreEnabled,
		CgroupVersion: info.CgroupVersion,
		CgroupDriver:  info.CgroupDriver,
		CDISpecDirs:   info.CDISpecDirs,
		Seccomp:       confines(info.SecurityOptions, "seccomp"),
		AppArmor:      confines(info.SecurityOptions, "apparmor"),
	}
	if info.Containerd != nil {
		out.Containerd = Containerd{Address: info.Containerd.Address, Namespace: info.Containerd.Namespaces.Containers}
	}
	out.ContainerdImages = slices.Contains(info.DriverStatus, [2]string{"driver-type", "io.containerd.snapshotter.v1"})
	for name := range info.Runtimes {
		out.Runtimes = append(out.Runtimes, name)
	}
	return out, nil
}

// confines says that an engine's security options have one of that name.
func confines(options []string, name string) bool {
	return slices.ContainsFunc(options, func(option string) bool {
		return option == name || option == "name="+name || strings.HasPrefix(option, "name="+name+",")
	})
}
