//go:build e2e

package e2e_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"
)

// instanceLabel is on everything that a daemon makes; sandboxLabel on what belongs
// to a sandbox, storeLabel on the engine that images are imported to, holderLabel on
// what holds a sandbox's network.
const (
	instanceLabel = "docker-sd.instance"
	sandboxLabel  = "docker-sd.sandbox"
	storeLabel    = "docker-sd.store"
	holderLabel   = "docker-sd.holder"
)

// engineReader looks at the host's engine from outside, with plain HTTP, so that
// the tests do not share the daemon's own view of it.
type engineReader struct {
	http *http.Client
	dial func() (net.Conn, error)
}

func newEngineReader(host string) (*engineReader, error) {
	if host == "" {
		host = "unix:///var/run/docker.sock"
	}
	network, address, found := strings.Cut(host, "://")
	if !found || network != "unix" && network != "tcp" {
		return nil, fmt.Errorf("DOCKER_HOST %q is neither unix:// nor tcp://", host)
	}
	dialer := &net.Dialer{Timeout: runLimit}
	dial := func() (net.Conn, error) { return dialer.Dial(network, address) }
	return &engineReader{dial: dial, http: &http.Client{Timeout: runLimit, Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, address)
		}}}}, nil
}

var errNotThere = errors.New("the engine does not have it")

// call sends one request; into may be nil.
func (e *engineReader) call(ctx context.Context, method, path string, into any) error {
	request, err := http.NewRequestWithContext(ctx, method, "http://engine"+path, nil)
	if err != nil {
		return err
	}
	response, err := e.http.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		return err
	case response.StatusCode == http.StatusNotFound:
		return fmt.Errorf("%s %s: %w", method, path, errNotThere)
	case response.StatusCode >= 400:
		return fmt.Errorf("%s %s: %d: %s", method, path, response.StatusCode, body)
	case into == nil:
		return nil
	}
	return json.Unmarshal(body, into)
}

func (e *engineReader) ping(ctx context.Context) error { return e.call(ctx, "GET", "/_ping", nil) }

// hostContainer is a container on the host's engine.
type hostContainer struct {
	ID     string `json:"Id"`
	Names  []string
	State  string
	Labels map[string]string
	Mounts []struct{ Type, Name string }
	// HostConfig is that part of it which a list has.
	HostConfig struct{ NetworkMode string }
}

func (c hostContainer) name() string {
	if len(c.Names) == 0 {
		return ""
	}
	return strings.TrimPrefix(c.Names[0], "/")
}

// warm says whether no pod has claimed this sandbox.
func (c hostContainer) warm() bool {
	return c.State == "running" && c.name() == c.Labels[sandboxLabel]
}

// standby says whether the engine of this sandbox has not been started yet.
func (c hostContainer) standby() bool {
	return c.State == "running" && c.name() == strings.TrimSuffix(c.Labels[sandboxLabel], "_dind")+"_standby"
}

// holder says whether this only holds the network of a sandbox.
func (c hostContainer) holder() bool {
	_, holds := c.Labels[holderLabel]
	return holds && c.name() == strings.TrimSuffix(c.Labels[sandboxLabel], "_dind")+"_network"
}

func labelQuery(labels ...string) string {
	filter, err := json.Marshal(map[string][]string{"label": labels})
	if err != nil {
		panic(err) // a map of strings
	}
	return "filters=" + url.QueryEscape(string(filter))
}

// allContainers lists those that carry all the labels, running or not.
func (e *engineReader) allContainers(ctx context.Context, labels ...string) ([]hostContainer, error) {
	var out []hostContainer
	return out, e.call(ctx, "GET", "/containers/json?all=1&"+labelQuery(labels...), &out)
}

// containers leaves out the image store, which hosts of another image store than
// overlay2 have and no pod has a part in.
func (e *engineReader) containers(ctx context.Context, labels ...string) ([]hostContainer, error) {
	out, err := e.allContainers(ctx, labels...)
	return slices.DeleteFunc(out, func(c hostContainer) bool {
		_, store := c.Labels[storeLabel]
		return store
	}), err
}

type hostNetwork struct {
	ID     string `json:"Id"`
	Name   string
	Labels map[string]string
	IPAM   struct {
		Config []struct{ Subnet netip.Prefix }
	}
}

func (e *engineReader) networks(ctx context.Context, labels ...string) ([]hostNetwork, error) {
	var out []hostNetwork
	return out, e.call(ctx, "GET", "/networks?"+labelQuery(labels...), &out)
}

// volumes names the anonymous volumes of containers.
func volumes(containers []hostContainer) []string {
	var out []string
	for _, c := range containers {
		for _, m := range c.Mounts {
			if m.Type == "volume" {
				out = append(out, m.Name)
			}
		}
	}
	slices.Sort(out)
	return out
}

func (e *engineReader) hasVolume(ctx context.Context, name string) (bool, error) {
	err := e.call(ctx, "GET", "/volumes/"+name, nil)
	if errors.Is(err, errNotThere) {
		return false, nil
	}
	return err == nil, err
}

// removeContainer kills and removes; one that is gone is success.
func (e *engineReader) removeContainer(ctx context.Context, id string) error {
	err := e.call(ctx, "DELETE", "/containers/"+id+"?force=1&v=1", nil)
	if err == nil || errors.Is(err, errNotThere) || strings.Contains(err.Error(), "in progress") {
		return nil
	}
	return err
}

func (e *engineReader) kill(ctx context.Context, id string) error {
	return e.call(ctx, "POST", "/containers/"+id+"/kill", nil)
}

// removeNetwork waits for a container in it whose removal is in progress.
func (e *engineReader) removeNetwork(ctx context.Context, id string) error {
	deadline := time.Now().Add(runLimit)
	for {
		err := e.call(ctx, "DELETE", "/networks/"+id, nil)
		if err == nil || errors.Is(err, errNotThere) {
			return nil
		}
		if time.Now().After(deadline) {
			return err
		}
		<-time.After(5 * tickPeriod)
	}
}

// removeInstance removes everything that carries an instance's label.
func (e *engineReader) removeInstance(ctx context.Context, instance string) error {
	label := instanceLabel + "=" + instance
	containers, err := e.allContainers(ctx, label)
	problems := []error{err}
	for _, c := range containers {
		problems = append(problems, e.removeContainer(ctx, c.ID))
	}
	networks, err := e.networks(ctx, label)
	problems = append(problems, err)
	for _, n := range networks {
		problems = append(problems, e.removeNetwork(ctx, n.ID))
	}
	var found struct{ Volumes []struct{ Name string } }
	problems = append(problems, e.call(ctx, "GET", "/volumes?"+labelQuery(label), &found))
	for _, v := range found.Volumes {
		problems = append(problems, e.call(ctx, "DELETE", "/volumes/"+v.Name, nil))
	}
	return errors.Join(problems...)
}
