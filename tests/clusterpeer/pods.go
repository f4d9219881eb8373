package clusterpeer

import (
	"context"
	"encoding/base64"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"

	"golang.zx2c4.com/wireguard/device"
)

// Pod is one in the mesh. A Virtual Kubelet makes a mesh for each pod, and gives all the
// same address; here many are in one, which needs less of the machine.
type Pod struct {
	// Address in the mesh.
	Address string
	// PrivateKey in base64.
	PrivateKey string
}

// mostPods in one mesh: their addresses are those from PodAddress to 10.7.0.254.
const mostPods = 253

// AddPod lets one more pod into the mesh. The first one is there from the start. It is not
// called by two goroutines at a time.
func (c *Cluster) AddPod(ctx context.Context) (Pod, error) {
	if c.pods == mostPods {
		return Pod{}, fmt.Errorf("the mesh has %d pods", mostPods)
	}
	pod := Pod{Address: fmt.Sprintf("10.7.0.%d", c.pods+2)}
	private, public, err := newKey(ctx)
	if err != nil {
		return pod, err
	}
	if raw, err := base64.StdEncoding.DecodeString(public); err != nil || len(raw) != device.NoisePublicKeySize {
		return pod, fmt.Errorf("wg made the odd key %q: %w", public, err)
	}
	pod.PrivateKey = private
	c.pods++
	_, err = Run(ctx, "wg", "set", "wg-"+c.options.Name, "peer", public, "allowed-ips", pod.Address+"/32")
	return pod, err
}

// JoinPlainly joins a network namespace to the mesh in the place of a pod, by Debian's
// wireguard-go alone, until end is called: tunnels are compared with it. in is a command
// that runs another one in the namespace.
func (c *Cluster) JoinPlainly(ctx context.Context, in []string, pod Pod) (end func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	name := "p-" + c.options.Name
	program := slices.Concat(in, []string{"wireguard-go", "-f", name})
	cmd := exec.Command(program[0], program[1:]...)
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start wireguard-go: %w", err)
	}
	end = func() {
		_ = cmd.Process.Signal(os.Interrupt) // it may have ended
		_ = cmd.Wait()                       // however it ended
	}
	if err := c.setPlain(ctx, in, name, pod); err != nil {
		end()
		return nil, err
	}
	return end, nil
}

// setPlain sets up an interface of wireguard-go once it is there.
func (c *Cluster) setPlain(ctx context.Context, in []string, name string, pod Pod) error {
	if err := wait(ctx, "the other wireguard-go runs", func() bool { return answers(name) }); err != nil {
		return err
	}
	file := filepath.Join(c.options.Dir, "plain.key")
	if err := os.WriteFile(file, []byte(pod.PrivateKey), 0o600); err != nil {
		return err
	}
	commands := [][]string{
		{"wg", "set", name, "private-key", file, "peer", c.PeerKey, "allowed-ips", "10.0.0.0/8", "persistent-keepalive", "25", "endpoint", fmt.Sprintf("%s:%d", c.Address, MeshPort)},
		slices.Concat(in, []string{"ip", "addr", "add", pod.Address + "/32", "dev", name}),
		slices.Concat(in, []string{"ip", "link", "set", name, "mtu", "1280", "up"}),
	}
	for _, route := range Routes() {
		commands = append(commands, slices.Concat(in, []string{"ip", "route", "add", route, "dev", name}))
	}
	for _, command := range commands {
		if _, err := Run(ctx, command...); err != nil {
			return err
		}
	}
	return nil
}

// answers says whether the wireguard-go of an interface does.
func answers(name string) bool {
	conn, err := net.Dial("unix", "/var/run/wireguard/"+name+".sock")
	if err == nil {
		conn.Close()
	}
	return err == nil
}

// Transfer moves bytes by the client of tests/clusterpeer/peer, which runs in the cluster,
// and compares their sum. way is -download or -upload.
func (c *Cluster) Transfer(ctx context.Context, way string, bytes int64, url string) error {
	_, err := Run(ctx, "ip", "netns", "exec", c.options.Name, c.peer, "fetch", way, strconv.FormatInt(bytes, 10), url)
	return err
}
