package config

import "io/fs"

// SocketShare says who may connect to the socket for interLink, besides its owner.
type SocketShare struct {
	// Mode (SocketMode) is "0600", "0660", or empty: 0660 where there is a group. Use Rights.
	Mode string
	// Group (SocketGroup) is the name or number of the socket's group, "" for that of the
	// process.
	Group string
}

// Rights are those of the socket's owner and group. Everybody else has none.
func (s SocketShare) Rights() fs.FileMode {
	if s.Mode == "0660" || s.Mode == "" && s.Group != "" {
		return 0o660
	}
	return 0o600
}

func (s SocketShare) validate() error {
	switch s.Mode {
	case "", "0660":
		return nil
	case "0600":
		if s.Group == "" {
			return nil
		}
		return invalid("SocketMode", s.Mode, "0660 with SocketGroup: with 0600 the group may not connect")
	}
	return invalid("SocketMode", s.Mode, "0600 or 0660, in quotes; a caller that can connect can run pods, so others than owner and group never can")
}
