package clusternet

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// command is one call of wstunnel's client.
type command struct {
	server, prefix string
	// reverse and forward are the values of -R and -L.
	reverse, forward []string
	// verify says that the server's certificate is to be checked in any case.
	verify bool
	// proxy says that the command names a proxy.
	proxy bool
}

// program is the name of wstunnel and that of its client, with what is before it.
var program = regexp.MustCompile(`(?:^|[^A-Za-z0-9_.-])wstunnel[ \t]+client[ \t]+(.+)`)

// calls returns the words of each call of wstunnel's client in a shell text that has a
// path prefix. Texts that only speak of the client have none.
func calls(text string) ([][]string, error) {
	var out [][]string
	// A line that ends with a backslash goes on in the next one.
	text = strings.NewReplacer("\\\n", " ", "\\\r\n", " ").Replace(text)
	for line := range strings.SplitSeq(text, "\n") {
		if !strings.Contains(line, "wstunnel") {
			continue
		}
		match := program.FindStringSubmatch(line)
		if match == nil {
			continue
		}
		words, err := words(match[1])
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(words, func(word string) bool { return strings.HasPrefix(word, prefixOption) || word == "-P" }) {
			out = append(out, words)
		}
	}
	return out, nil
}

// maxWords bounds those of a command.
const maxWords = 1024

// words splits the rest of a shell's line up to where the command ends: at a redirection,
// a pipe, an ampersand, a semicolon, or a quote that was opened before the line's part.
// Quotes are taken off; what the shell would put something else for is kept as it is
// written.
func words(line string) ([]string, error) {
	var out []string
	for line = strings.TrimLeft(line, " \t\r"); line != ""; line = strings.TrimLeft(line, " \t\r") {
		if len(out) == maxWords {
			return nil, fmt.Errorf("the command of wstunnel has more than %d words", maxWords)
		}
		if strings.ContainsRune("|&;<>#", rune(line[0])) || strings.HasPrefix(line, "2>") || strings.HasPrefix(line, "1>") {
			break
		}
		next, rest, ended := word(line)
		if next != "" || !ended {
			out = append(out, next)
		}
		if ended {
			break
		}
		line = rest
	}
	return out, nil
}

// word takes the first word off a line. ended says that a quote follows which closes what
// was opened before: the command is a part of a text.
func word(line string) (word, rest string, ended bool) {
	for {
		end := strings.IndexAny(line, " \t\r|&;<>\"'")
		if end < 0 {
			return word + line, "", false
		}
		word += line[:end]
		quote := line[end : end+1]
		if quote != "'" && quote != `"` {
			return word, line[end:], false
		}
		inner, after, closed := strings.Cut(line[end+1:], quote)
		if !closed {
			return word, "", true
		}
		word, line = word+inner, after
	}
}

// prefixOption has the secret of the pod.
const prefixOption = "--http-upgrade-path-prefix"

// harmless are options of wstunnel's client that change nothing of where a tunnel leads,
// and whether each has a value.
var harmless = map[string]bool{
	"--log-lvl": true, "--no-color": true, "--nb-worker-threads": true, "--connection-min-idle": true, "-c": true,
	"--connection-retry-max-backoff": true, "--reverse-tunnel-connection-retry-max-backoff": true,
	"--websocket-ping-frequency": true, "--websocket-ping-frequency-sec": true, "--websocket-mask-frame": false,
	"--tls-sni-disable": false,
}

// readCommand reads the words of a call of wstunnel's client. An option that is not known
// is an error: it could change what the tunnel is.
func readCommand(words []string) (command, error) {
	var out command
	for i := 0; i < len(words); i++ {
		word := words[i]
		if word == "$WSTUNNEL_PROXY_ARGS" {
			continue
		}
		if strings.ContainsAny(word, "$`") {
			return out, fmt.Errorf("the command of wstunnel has the variable %s, whose value is not known here", shown(word))
		}
		if !strings.HasPrefix(word, "-") {
			if out.server != "" {
				return out, fmt.Errorf("the command of wstunnel names two servers, %s and %s", shown(out.server), shown(word))
			}
			out.server = word
			continue
		}
		name, value, given := strings.Cut(word, "=")
		withValue := func() (string, error) {
			if given {
				return value, nil
			}
			if i++; i == len(words) || strings.ContainsAny(words[i], "$`") {
				return "", fmt.Errorf("the command of wstunnel has %s without a value", name)
			}
			return words[i], nil
		}
		if err := out.option(name, withValue); err != nil {
			return out, err
		}
	}
	return out, out.complete()
}

// option takes in an option of the command; value returns what belongs to it.
func (c *command) option(name string, value func() (string, error)) (err error) {
	switch name {
	case prefixOption, "-P":
		if c.prefix != "" {
			return errors.New("the command of wstunnel has two path prefixes")
		}
		if c.prefix, err = value(); err == nil {
			c.prefix, err = readPrefix(c.prefix)
		}
	case "-R", "--remote-to-local":
		text, wrong := value()
		c.reverse, err = append(c.reverse, text), wrong
	case "-L", "--local-to-remote":
		text, wrong := value()
		c.forward, err = append(c.forward, text), wrong
	case "--tls-verify-certificate":
		c.verify = true
	case "--http-proxy", "-p":
		c.proxy = true
		_, err = value()
	default:
		valued, known := harmless[name]
		if !known {
			return fmt.Errorf("the command of wstunnel has the option %s, which is not supported by this node", shown(name))
		}
		if valued {
			_, err = value()
		}
	}
	return err
}

// complete says what a command lacks.
func (c *command) complete() error {
	switch {
	case c.server == "":
		return errors.New("the command of wstunnel names no server")
	case c.prefix == "":
		return errors.New("the command of wstunnel has no path prefix")
	}
	return nil
}

// readCommands reads the one command that a shell text has. Written twice it is one.
func readCommands(text string) (command, error) {
	found, err := calls(text)
	if err != nil {
		return command{}, err
	}
	if len(found) == 0 {
		return command{}, fmt.Errorf("has no command wstunnel client with %s", prefixOption)
	}
	var out command
	for i, words := range found {
		next, err := readCommand(words)
		if err != nil {
			return command{}, err
		}
		if i > 0 && !out.same(next) {
			return command{}, errors.New("has two commands of wstunnel that are not the same")
		}
		out = next
	}
	return out, nil
}

func (c *command) same(other command) bool {
	return c.server == other.server && c.prefix == other.prefix && c.verify == other.verify &&
		slices.Equal(c.reverse, other.reverse) && slices.Equal(c.forward, other.forward)
}

// maxPorts bounds those of a pod.
const maxPorts = 128

// reversePorts reads the values of -R: tcp://[ADDRESS:]PORT:localhost:PORT. Nothing but
// the pod itself may be the target.
func reversePorts(texts []string) ([]initapi.Reverse, error) {
	if len(texts) > maxPorts {
		return nil, fmt.Errorf("-R is given %d times, %d are possible", len(texts), maxPorts)
	}
	taken := map[uint16]bool{}
	var out []initapi.Reverse
	for _, text := range texts {
		rest, found := strings.CutPrefix(text, "tcp://")
		if !found {
			return nil, fmt.Errorf("-R %s: only tcp:// can be reversed by this node", shown(text))
		}
		ends, err := readEnds(rest, "0.0.0.0")
		if err != nil {
			return nil, fmt.Errorf("-R %s: %w", shown(text), err)
		}
		if !isPod(ends.host) {
			return nil, fmt.Errorf("-R %s leads to %s, and not to the pod: only localhost can be reached", shown(text), shown(ends.host))
		}
		if taken[ends.port] {
			return nil, fmt.Errorf("-R %s: port %d is taken twice", shown(text), ends.port)
		}
		taken[ends.port] = true
		out = append(out, initapi.Reverse{Listen: hostPort(ends.bind, ends.port), Target: hostPort(ends.host, ends.hostPort)})
	}
	return out, nil
}

// isPod says that a host is the pod itself.
func isPod(host string) bool { return host == "localhost" || host == "127.0.0.1" || host == "::1" }
