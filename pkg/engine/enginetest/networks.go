package enginetest

import (
	"fmt"
	"maps"
	"net/http"
	"net/netip"
	"strings"
	"time"
)

// bridgeOption names a network's interface on the host.
const bridgeOption = "com.docker.network.bridge.name"

// ipamConfig has the subnet of a network.
type ipamConfig struct{ Subnet string }

// network of an engine, as it lists it.
type network struct {
	ID      string `json:"Id"`
	Name    string
	Driver  string
	Labels  map[string]string
	Options map[string]string
	Created time.Time
	IPAM    struct{ Config []ipamConfig }

	// addresses that were given out.
	addresses int
}

// predefined says that every engine has this network.
func (n *network) predefined() bool {
	return n.Name == "bridge" || n.Name == "host" || n.Name == "none"
}

// subnet of a network; false for one that has none.
func (n *network) subnet() (netip.Prefix, bool) {
	if len(n.IPAM.Config) == 0 {
		return netip.Prefix{}, false
	}
	prefix, err := netip.ParsePrefix(n.IPAM.Config[0].Subnet)
	return prefix, err == nil
}

// address gives out the next one, behind the gateway's; the lock is held.
func (n *network) address() string {
	prefix, ok := n.subnet()
	if !ok {
		return ""
	}
	n.addresses++
	at := prefix.Masked().Addr().Next()
	for range n.addresses {
		at = at.Next()
	}
	return at.String()
}

// findNetwork by name, id or the beginning of one; the lock is held.
func (e *Engine) findNetwork(nameOrID string) *network {
	for _, n := range e.networks {
		if n.Name == nameOrID || n.ID == nameOrID || len(nameOrID) >= 12 && strings.HasPrefix(n.ID, nameOrID) {
			return n
		}
	}
	return nil
}

// createNetwork answers POST /networks/create.
func (e *Engine) createNetwork(w http.ResponseWriter, r *http.Request) {
	n := &network{}
	if !read(w, r, n) {
		return
	}
	e.mu.Lock()
	reply := e.enterNetwork(n)
	e.mu.Unlock()
	reply(w, r)
}

// enterNetwork adds a network, unless its name, subnet or interface is taken; the lock is held.
func (e *Engine) enterNetwork(n *network) http.HandlerFunc {
	if e.findNetwork(n.Name) != nil {
		return refuses(http.StatusConflict, "network with name %s already exists", n.Name)
	}
	n.ID, n.Created = e.newID("network"), e.now()
	if len(n.IPAM.Config) == 0 {
		n.IPAM.Config = []ipamConfig{{Subnet: e.freeSubnet()}}
	}
	prefix, ok := n.subnet()
	if !ok {
		return refuses(http.StatusBadRequest, "invalid subnet %s", n.IPAM.Config[0].Subnet)
	}
	for _, other := range e.networks {
		if taken, has := other.subnet(); has && taken.Overlaps(prefix) {
			return refuses(http.StatusForbidden, "Pool overlaps with other one on this address space")
		}
		if name := n.Options[bridgeOption]; name != "" && other.Options[bridgeOption] == name {
			return refuses(http.StatusForbidden, "cannot create network %s (%s): conflicts with network %s (%s): networks have same bridge name",
				n.ID, name, other.ID, name)
		}
	}
	e.networks[n.ID] = n
	e.broadcast()
	return answers(http.StatusCreated, map[string]string{"Id": n.ID, "Warning": ""})
}

// freeSubnet is one of the engine's own ranges.
func (e *Engine) freeSubnet() string {
	for second := 18; second < 256; second++ {
		wanted := netip.PrefixFrom(netip.AddrFrom4([4]byte{172, byte(second), 0, 0}), 16)
		taken := false
		for _, other := range e.networks {
			prefix, has := other.subnet()
			taken = taken || has && prefix.Overlaps(wanted)
		}
		if !taken {
			return wanted.String()
		}
	}
	return ""
}

// listNetworks answers GET /networks for those that fit the filters.
func (e *Engine) listNetworks(w http.ResponseWriter, r *http.Request) {
	wanted, ok := filters(w, r)
	if !ok {
		return
	}
	found := []network{}
	e.mu.Lock()
	for _, n := range e.networks {
		if carries(n.Labels, wanted["label"]) {
			found = append(found, *n)
		}
	}
	e.mu.Unlock()
	answer(w, http.StatusOK, found)
}

// removeNetwork answers DELETE /networks/{id}; one with containers that run is refused.
func (e *Engine) removeNetwork(w http.ResponseWriter, r *http.Request) {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := e.findNetwork(r.PathValue("id"))
	switch {
	case n == nil:
		refuse(w, http.StatusNotFound, "network "+r.PathValue("id")+" not found")
		return
	case n.predefined():
		refuse(w, http.StatusForbidden, n.Name+" is a pre-defined network and cannot be removed")
		return
	}
	for _, c := range e.containers {
		if _, in := c.networks[n.Name]; in && c.alive() {
			refuse(w, http.StatusForbidden, fmt.Sprintf("error while removing network: network %s id %s has active endpoints", n.Name, n.ID))
			return
		}
	}
	delete(e.networks, n.ID)
	e.broadcast()
	w.WriteHeader(http.StatusNoContent)
}

// joining is what a container and a network have to do with each other; the lock is held.
func (e *Engine) joining(w http.ResponseWriter, r *http.Request, do func(*container, *network) http.HandlerFunc) {
	var body struct{ Container string }
	if !read(w, r, &body) {
		return
	}
	e.mu.Lock()
	c, n := e.find(body.Container), e.findNetwork(r.PathValue("id"))
	var reply http.HandlerFunc
	switch {
	case n == nil:
		reply = refuses(http.StatusNotFound, "network %s not found", r.PathValue("id"))
	case c == nil:
		reply = refuses(http.StatusNotFound, "No such container: %s", body.Container)
	default:
		reply = do(c, n)
	}
	e.broadcast()
	e.mu.Unlock()
	reply(w, r)
}

// connect answers POST /networks/{id}/connect.
func (e *Engine) connect(w http.ResponseWriter, r *http.Request) {
	e.joining(w, r, func(c *container, n *network) http.HandlerFunc {
		_, isolated := c.networks["none"]
		_, joined := c.networks[n.Name]
		_, open := c.networks["host"]
		switch {
		case strings.HasPrefix(c.config.HostConfig.NetworkMode, "container:"):
			return refuses(http.StatusBadRequest, "container sharing network namespace with another container or host cannot be connected to any other network")
		case open || n.Name == "host":
			return refuses(http.StatusBadRequest, "container cannot be disconnected from host network or connected to host network")
		case isolated:
			return refuses(http.StatusBadRequest, "container cannot be connected to multiple networks with one of the networks in private (none) mode")
		case joined:
			return refuses(http.StatusForbidden, "endpoint with name %s already exists in network %s", c.name, n.Name)
		}
		c.networks[n.Name] = ""
		if c.alive() {
			c.networks[n.Name] = n.address()
		}
		return says(http.StatusOK)
	})
}

// disconnect answers POST /networks/{id}/disconnect.
func (e *Engine) disconnect(w http.ResponseWriter, r *http.Request) {
	e.joining(w, r, func(c *container, n *network) http.HandlerFunc {
		if _, joined := c.networks[n.Name]; !joined {
			return refuses(http.StatusForbidden, "container %s is not connected to network %s", c.id, n.Name)
		}
		delete(c.networks, n.Name)
		return says(http.StatusOK)
	})
}

// joinAll gives a container that starts its addresses, or tells with a status why it
// cannot start; the lock is held.
func (e *Engine) joinAll(c *container) (status int, problem string) {
	if of, other := strings.CutPrefix(c.config.HostConfig.NetworkMode, "container:"); other {
		switch owner := e.find(of); {
		case owner == nil:
			return http.StatusNotFound, "No such container: " + of
		case !owner.alive():
			return http.StatusConflict, "cannot join network of a non running container: " + owner.id
		}
	}
	for name := range maps.Clone(c.networks) {
		n := e.findNetwork(name)
		if n == nil {
			return http.StatusNotFound, "network " + name + " not found"
		}
		c.networks[name] = n.address()
	}
	return 0, ""
}

// leaveAll takes the addresses of a container that does not run; the lock is held.
func (e *Engine) leaveAll(c *container) {
	for name := range c.networks {
		c.networks[name] = ""
	}
}
