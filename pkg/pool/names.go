package pool

import "github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"

// What importers of this package still find here.
type (
	Sandbox  = sandbox.Sandbox
	Hardware = sandbox.Hardware
	Host     = sandbox.Host
)

// What importers of this package still find here.
var (
	Capabilities = sandbox.Capabilities
	IsName       = sandbox.IsName
	AssignedName = sandbox.AssignedName
	StoredName   = sandbox.StoredName
	Networks     = sandbox.Subnets
)

// AppArmorSandbox is sandbox.AppArmorSandbox.
const AppArmorSandbox = sandbox.AppArmorSandbox
