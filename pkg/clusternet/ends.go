package clusternet

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// ends of a tunnel: where it listens, and what it leads to.
type ends struct {
	bind     string
	port     uint16
	host     string
	hostPort uint16
}

// readEnds reads [ADDRESS:]PORT:HOST:PORT; addresses of IPv6 are in brackets. bind is the
// address where none is given.
func readEnds(text, bind string) (ends, error) {
	parts, err := split(text)
	if err != nil {
		return ends{}, err
	}
	switch len(parts) {
	case 3:
		parts = append([]string{bind}, parts...)
	case 4:
	default:
		return ends{}, errors.New("is not [ADDRESS:]PORT:HOST:PORT")
	}
	out := ends{bind: parts[0], host: strings.ToLower(parts[2])}
	if address, err := netip.ParseAddr(out.bind); err != nil || address.Zone() != "" {
		return ends{}, fmt.Errorf("%s is no address to listen at", shown(parts[0]))
	}
	if out.port, err = readPort(parts[1]); err != nil {
		return ends{}, err
	}
	if !validHost(out.host) {
		return ends{}, fmt.Errorf("%s is no host name", shown(parts[2]))
	}
	out.hostPort, err = readPort(parts[3])
	return out, err
}

// split cuts a text at the colons that are not in brackets, and takes the brackets off.
func split(text string) ([]string, error) {
	var out []string
	for {
		if inner, found := strings.CutPrefix(text, "["); found {
			address, rest, closed := strings.Cut(inner, "]")
			if !closed || rest != "" && rest[0] != ':' {
				return nil, errors.New("has a bracket that is not closed")
			}
			out = append(out, address)
			if rest == "" {
				return out, nil
			}
			text = rest[1:]
			continue
		}
		part, rest, more := strings.Cut(text, ":")
		if out = append(out, part); !more {
			return out, nil
		}
		if len(out) > 4 {
			return nil, errors.New("has too many parts")
		}
		text = rest
	}
}
