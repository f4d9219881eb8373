package clusternet

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// templateMark is the first line of a text that the template of docker-sd has made
// (docs/mesh-template.txt). The number changes when a name means something else.
const templateMark = "DOCKER_SD_MESH=1"

// isTemplate says whether a script is such a text.
func isTemplate(script string) bool {
	for line := range strings.Lines(script) {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "#") {
			return line == templateMark
		}
	}
	return false
}

// assignment is a line of the template's own part.
var assignment = regexp.MustCompile(`^([A-Z][A-Z0-9_]*)=(\S*)$`)

// readTemplate reads lines KEY=VALUE, and behind them the configuration of WireGuard, which
// the template gets as one value. A key without a value is as one that is not there.
func readTemplate(script string) (meshText, error) {
	own, config, _ := strings.Cut(script, "\n[")
	if config != "" {
		config = "[" + config
	}
	values, err := assignments(own)
	if err != nil {
		return meshText{}, err
	}
	out := meshText{iface: values["INTERFACE"], mtu: values["MTU"], domain: values["CLUSTER_DOMAIN"], contact: values["CONTACT_HOST"],
		addresses: items(values["ADDRESS"]), routes: items(values["ROUTES"]), nameservers: items(values["DNS"])}
	if out.wireguard, err = readWireguard(config); err != nil {
		return meshText{}, err
	}
	forward := values["FORWARD"]
	if forward == "" {
		forward = defaultForward
	}
	out.command = command{server: values["SERVER"], forward: []string{forward}}
	if prefix := values["PATH_PREFIX"]; prefix != "" {
		if out.command.prefix, err = readPrefix(prefix); err != nil {
			return meshText{}, err
		}
	}
	switch {
	case out.command.server == "":
		return meshText{}, errors.New("has no SERVER=")
	case out.command.prefix == "":
		return meshText{}, errors.New("has no PATH_PREFIX=")
	}
	return out, nil
}

// defaultForward leads to the peer as the cluster's side sets it up.
const defaultForward = "udp://127.0.0.1:51821:127.0.0.1:51820"

// templateKeys are the names in the template.
var templateKeys = map[string]bool{
	"DOCKER_SD_MESH": true, "SERVER": true, "PATH_PREFIX": true, "INTERFACE": true, "ADDRESS": true, "MTU": true,
	"ROUTES": true, "DNS": true, "CLUSTER_DOMAIN": true, "CONTACT_HOST": true, "FORWARD": true,
}

// assignments reads the template's own part.
func assignments(text string) (map[string]string, error) {
	out := map[string]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		match := assignment.FindStringSubmatch(line)
		if match == nil {
			name, _, _ := strings.Cut(line, "=")
			return nil, fmt.Errorf("has the line %s, which is not KEY=VALUE", shown(name))
		}
		if _, again := out[match[1]]; again || !templateKeys[match[1]] {
			return nil, fmt.Errorf("has the key %s, which is not known or is there twice", shown(match[1]))
		}
		out[match[1]] = match[2]
	}
	return out, nil
}

// items of a list with commas.
func items(list string) []string {
	var out []string
	for item := range strings.SplitSeq(list, ",") {
		if item != "" {
			out = append(out, item)
		}
	}
	return out
}
