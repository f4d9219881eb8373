package sandboxinit

// The commands that the program runs itself with; those of others are in initapi.
const (
	commandUp     = "up"     // the first process, in its own control group namespace
	commandHostUp = "hostup" // the first process of CommandHost, in its own control group namespace
	commandEngine = "engine" // becomes dockerd, with the socket that it was handed
	commandMount  = "mount"  // carries out one request for a FUSE file system
	commandAbort  = "abort"  // ends all FUSE file systems
)

// options of a sandbox, from the command line.
type options struct {
	// store says that images are shared from StorePath.
	store bool
	// standby leaves the engine until it is asked for.
	standby bool
	// engine are further arguments of dockerd.
	engine []string
}
