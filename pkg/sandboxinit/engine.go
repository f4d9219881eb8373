package sandboxinit

import (
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// keepEngine runs containerd and dockerd side by side, and starts each again when it
// ends: neither is the first process, so containers outlive their crashes.
func keepEngine(o options, s *server, all *children, socks sockets, stop <-chan os.Signal) {
	// Collecting garbage less often saves a good part of the CPU of a boot and of the
	// first container. 300 saves nothing more and takes 1 MB more; 100 takes 3 MB less,
	// and the boot a fifth longer.
	_ = os.Setenv("GOGC", "200") // fails for no name like this
	over := make(chan struct{})
	var running sync.WaitGroup
	containerd := containerdCommand(containerdRun, containerdState)
	if containerd != nil {
		running.Go(func() { all.keep(over, containerd, nil) })
	}
	engine := &process{}
	argv := append([]string{initapi.ProgramPath, commandEngine, "dockerd", "--host=fd://", "--data-root=" + initapi.DataPath}, fitUlimits(o.engine, engineFile)...)
	if containerd != nil {
		argv = append(argv, "--containerd="+containerdSocket(containerdRun))
	}
	ended := make(chan struct{})
	running.Go(func() {
		defer close(ended)
		all.keep(over, argv, func(pid int) { socks.touch(); s.engineStarted(time.Now()); engine.set(pid) }, socks.engine.Fd())
	})
	<-stop
	close(over)
	engine.signal(unix.SIGTERM)
	<-ended
}
