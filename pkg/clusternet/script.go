package clusternet

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// meshText is what a script of the full mesh says, each value as it is written.
type meshText struct {
	command   command
	wireguard wireguard
	iface     string
	addresses []string
	routes    []string
	mtu       string
	// nameservers in their order, and the cluster's domain, "" if none is given.
	nameservers []string
	domain      string
	contact     string
}

// The marks between which the script is.
const (
	beginMark = "<<'EOFMESH'"
	endMark   = "\nEOFMESH"
)

var errNoScript = errors.New("has no script between " + beginMark + " and EOFMESH")

// scriptOf cuts the first script out of the annotation: a pod that is created again has
// one before the other, and behind the last may come text of the user, on the same line
// even.
func scriptOf(text string) (string, error) {
	_, rest, found := strings.Cut(text, beginMark)
	if !found {
		return "", errNoScript
	}
	// The rest of the line says where the shell writes it.
	_, rest, found = strings.Cut(rest, "\n")
	if !found {
		return "", errors.New("has the begin of a script and no end, EOFMESH")
	}
	script, _, found := strings.Cut("\n"+rest, endMark)
	if !found {
		return "", errors.New("has the begin of a script and no end, EOFMESH")
	}
	if strings.Contains(script, beginMark) {
		return "", errors.New("has a script in the script: " + beginMark + " comes twice before EOFMESH")
	}
	return script, nil
}

// statement is a line of the script that has a value. word is in each such line: most
// lines are passed over by it.
type statement struct {
	name, word string
	form       *regexp.Regexp
}

// The statements of the script that have values.
var (
	ifaceLine      = statement{"WG_IFACE", "WG_IFACE=", regexp.MustCompile(`^WG_IFACE=["']?([^"'\s]*)["']?$`)}
	addressLine    = statement{"the address", "addr", regexp.MustCompile(`^ip (?:-4 |-6 )?addr(?:ess)? add ([^\s;|&]+)`)}
	routeLine      = statement{"the route", "route add", regexp.MustCompile(`^ip (?:-4 |-6 )?route add ([^\s;|&]+)`)}
	mtuLine        = statement{"the MTU", "mtu ", regexp.MustCompile(`^ip link set .*\bmtu ([^\s;|&]+)`)}
	nameserverLine = statement{"nameserver", "nameserver ", regexp.MustCompile(`\bnameserver[ \t]+([^\s"';|&]+)`)}
	searchLine     = statement{"the domain of search", "search ", regexp.MustCompile(`\bsearch[ \t]+[^"']*?\bsvc\.([^\s"';|&]+)`)}
	contactLine    = statement{contactVariable, contactVariable, regexp.MustCompile(`\b` + contactVariable + `=["']?([^"'\s;|&]*)["']?`)}
)

// contactVariable has the name by which the pod is found in the cluster.
const contactVariable = "INTERLINK_MESH_CONTACT_HOST"

// readScript reads the script that the Virtual Kubelet writes, in the forms of its
// releases and of the changes that are proposed (protocol 6.2).
func readScript(script string) (meshText, error) {
	var out meshText
	var err error
	if out.command, err = readCommands(script); err != nil {
		return out, err
	}
	config, err := configOf(script)
	if err != nil {
		return out, err
	}
	if out.wireguard, err = readWireguard(config); err != nil {
		return out, err
	}
	lines := strings.Split(script, "\n")
	for _, value := range []struct {
		of  statement
		dst *string
	}{{ifaceLine, &out.iface}, {mtuLine, &out.mtu}, {contactLine, &out.contact}, {searchLine, &out.domain}} {
		if *value.dst, err = value.of.once(lines); err != nil {
			return out, err
		}
	}
	out.addresses, out.routes = addressLine.each(lines), routeLine.each(lines)
	// That of the host is a variable of the shell.
	out.nameservers = slices.DeleteFunc(nameserverLine.each(lines), func(text string) bool { return strings.HasPrefix(text, "$") })
	return out, nil
}

// The marks of the configuration of WireGuard in a script.
const (
	beginConfig = "<<'EOFWG'"
	endConfig   = "\nEOFWG"
)

// configOf is the configuration of WireGuard in a script, "" if there is none.
func configOf(script string) (string, error) {
	switch strings.Count(script, beginConfig) {
	case 0:
		return "", nil
	case 1:
	default:
		return "", errors.New("has two WireGuard configurations, " + beginConfig + " comes twice")
	}
	_, rest, _ := strings.Cut(script, beginConfig)
	_, rest, _ = strings.Cut(rest, "\n")
	config, _, found := strings.Cut("\n"+rest, endConfig)
	if !found {
		return "", errors.New("has the begin of a WireGuard configuration and no end, EOFWG")
	}
	return config, nil
}

// once is the value of a statement, which may be there more than once with one value.
func (s statement) once(lines []string) (string, error) {
	found := s.each(lines)
	switch len(found) {
	case 0:
		return "", nil
	case 1:
		return found[0], nil
	}
	return "", fmt.Errorf("has two values of %s, %s and %s", s.name, shown(found[0]), shown(found[1]))
}

// each lists the values of a statement, each once.
func (s statement) each(lines []string) []string {
	var out []string
	seen := map[string]bool{}
	for _, line := range lines {
		if !strings.Contains(line, s.word) {
			continue
		}
		match := s.form.FindStringSubmatch(strings.TrimSpace(line))
		if match == nil {
			continue
		}
		if !seen[match[1]] {
			out = append(out, match[1])
		}
		seen[match[1]] = true
	}
	return out
}
