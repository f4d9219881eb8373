package sandbox

// Host is what all parts of this package need of the host's engine.
type Host interface {
	MakerHost
	NetworksHost
	FinderHost
	RemoverHost
	StoreHost
}
