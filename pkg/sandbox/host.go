package sandbox

// HostEngine is what all parts of this package need of the host's engine.
type HostEngine interface {
	MakerHost
	NetworksHost
	FinderHost
	RemoverHost
	StoreHost
}
