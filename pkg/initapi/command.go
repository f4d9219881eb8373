package initapi

// Paths inside a sandbox.
const (
	// ProgramPath is where the init is.
	ProgramPath = "/docker-sd-init"
	// FolderPath is where the sandbox's folder is mounted until its sockets are made.
	FolderPath = "/run/docker-sd/folder"
	// StorePath is where the image store is mounted that is shared.
	StorePath = "/run/docker-sd/store"
	// LayersPath is where the layers are mounted that the image store at StorePath leads to,
	// if it has none of its own.
	LayersPath = "/run/docker-sd/layers"
	// ImagesPath holds the mount points of volumes that show images.
	ImagesPath = "/run/docker-sd/images"
	// RuntimesPath holds the host's programs that run containers.
	RuntimesPath = "/run/docker-sd/runtimes"
	// AmendingRuntime is the name of a runtime in RuntimesPath that gives a container what
	// OpAmend says, and is the init. The runtime of a container without that is another.
	AmendingRuntime = "docker-sd-amend"
	// TunnelPath is where the program of the tunnel is, in a sandbox that can have one.
	TunnelPath = "/docker-sd-tunnel"
	// TunnelDevice is what the mesh of a tunnel is made with, on the host and inside.
	TunnelDevice = "/dev/net/tun"
	// DataPath is the data root of the engine.
	DataPath = "/var/lib/docker"
)

// FuseDevice is what programs that serve a FUSE file system open.
const FuseDevice = "/dev/fuse"

// FuseSocket is the socket of a Fuse in a container: below /dev, where nothing of the image
// or of a volume is.
const FuseSocket = "/dev/docker-sd-fuse"

// FusePrograms are the paths in a container at which libraries look for fusermount.
func FusePrograms() []string {
	return []string{"/usr/bin/fusermount3", "/usr/bin/fusermount", "/bin/fusermount3", "/bin/fusermount"}
}

// EngineSocket is the name of the engine's socket in the sandbox's folder.
const EngineSocket = "docker.sock"

// TunnelSocket is the descriptor by which the program of the tunnel gets its wish from the
// init, and after that answers each further JSON value with its TunnelState.
const TunnelSocket = 3

// The commands of the init.
const (
	CommandBoot  = "boot"  // the first process, as the host's engine starts it
	CommandHost  = "host"  // the first process of the image that has docker-sd and an engine
	CommandPause = "pause" // holds a process namespace and reaps its orphans
	CommandTrue  = "true"  // ends at once
)

// HostRun is where the image with an engine of its own has the engine's socket. It is a
// file system of the container's own: /run may be a volume that others mount too.
const HostRun = "/run/docker-sd-engine"

// UlimitFlag begins the flags of dockerd that the init fits to what the sandbox may have:
// --default-ulimit=NAME=SOFT:HARD, a limit of each container.
const UlimitFlag = "--default-ulimit="

// BootCommand is the command line of a sandbox's first process: store has it share the
// images at StorePath, standby leaves the engine until OpStart. engine are further
// arguments of dockerd.
func BootCommand(store, standby bool, engine ...string) []string {
	out := []string{ProgramPath, CommandBoot}
	if store {
		out = append(out, "-store")
	}
	if standby {
		out = append(out, "-standby")
	}
	return append(append(out, "--"), engine...)
}

// PauseCommand is the command line of a container that holds a process namespace.
func PauseCommand() []string { return []string{ProgramPath, CommandPause} }

// TrueCommand is the command line of a container that does nothing.
func TrueCommand() []string { return []string{ProgramPath, CommandTrue} }
