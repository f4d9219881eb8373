package pool

// Knows says whether a sandbox has an owner.
func (p *Pool) Knows(name string) bool { return p.registry.state(name).owned() }
