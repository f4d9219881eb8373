package clusterpeer

import (
	"context"
	"encoding/base64"
	"fmt"
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

// Transfer moves bytes by the client of tests/clusterpeer/peer, which runs in the cluster,
// and compares their sum. way is -download or -upload.
func (c *Cluster) Transfer(ctx context.Context, way string, bytes int64, url string) error {
	_, err := Run(ctx, "ip", "netns", "exec", c.options.Name, c.peer, "fetch", way, strconv.FormatInt(bytes, 10), url)
	return err
}
