package clusterpeer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// ControlSocket is the name of the peer's control socket in its folder.
const ControlSocket = "peer.sock"

// Options of a cluster.
type Options struct {
	// Dir takes the programs' files. Its path is short: sockets are in it.
	Dir string
	// Name of the network namespace and of the interfaces, at most 8 letters.
	Name string
	// From is the network namespace of those who reach the cluster, "" for this one.
	From string
	// Net are the first three numbers of the network between both, "198.18.77" if empty:
	// .1 is on this side, .2 is the cluster.
	Net string
	// Cert and Key are PEM files with which the Ingress, and the server behind it, use TLS.
	Cert, Key string
	// IngressTimeout is the time after which the Ingress cuts an idle connection, "60s" if
	// empty.
	IngressTimeout string
	// NoMesh leaves WireGuard out.
	NoMesh bool
}

// Cluster is a network namespace with a wstunnel server, an Ingress before it, the other
// end of a mesh, a DNS server and an HTTP service.
type Cluster struct {
	// Address of the cluster from outside.
	Address string
	// Prefix is the secret of the server.
	Prefix string
	// PrivateKey is that of the pod at PodAddress, PeerKey the public one of the cluster, in
	// base64.
	PrivateKey, PeerKey string

	options   Options
	peer      string
	processes map[string]*exec.Cmd
	// pods is how many are in the mesh.
	pods int
}

// What every cluster has.
const (
	ServerPort     = 8080
	IngressPort    = 80
	TLSIngressPort = 443
	MeshPort       = 51820
	PodAddress     = "10.7.0.2"
	ClusterAddress = "10.7.0.1"
	ServiceAddress = "10.105.0.10"
	ServiceName    = "web.default.svc.cluster.local"
	DNSAddress     = "10.244.0.99"
)

// Routes that a pod needs to all of it.
func Routes() []string { return []string{"10.7.0.0/16", "10.105.0.0/16", "10.244.0.0/16"} }

// startLimit bounds what starts a cluster.
const startLimit = 2 * time.Minute

// Start makes a cluster. It needs root, and installs Debian's packages that are missing.
func Start(ctx context.Context, o Options) (_ *Cluster, err error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	if o.Net == "" {
		o.Net = "198.18.77"
	}
	if o.IngressTimeout == "" {
		o.IngressTimeout = "60s"
	}
	c := &Cluster{options: o, Address: o.Net + ".2", Prefix: "s3cret-" + o.Name, processes: map[string]*exec.Cmd{}}
	if err := install(ctx); err != nil {
		return nil, err
	}
	if c.peer, err = BuildPeer(ctx, o.Dir); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	if err := c.connect(ctx); err != nil {
		return nil, err
	}
	if !o.NoMesh {
		if err := c.startMesh(ctx); err != nil {
			return nil, err
		}
	}
	if err := c.startPeer(ctx); err != nil {
		return nil, err
	}
	return c, c.StartIngress(ctx)
}

// BuildPeer compiles the program that runs inside into a folder, and returns its path. It
// is static, so that it runs in pods too.
func BuildPeer(ctx context.Context, dir string) (string, error) {
	path := filepath.Join(dir, "peer")
	build := exec.CommandContext(ctx, "go", "build", "-o", path, "github.com/intertwin-eu/interlink-docker-plugin/tests/clusterpeer/peer")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the peer: %w: %s", err, out)
	}
	return path, nil
}

// packages bring the programs.
var packages = map[string]string{"ip": "iproute2", "nginx": "nginx-light", "wireguard-go": "wireguard-go", "wg": "wireguard-tools"}

// install installs the packages whose programs are missing. They start no service where
// nothing starts services.
func install(ctx context.Context) error {
	var missing []string
	for program, name := range packages {
		if _, err := exec.LookPath(program); err != nil {
			missing = append(missing, name)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	for _, args := range [][]string{{"update"}, append([]string{"install", "-y", "--no-install-recommends"}, missing...)} {
		cmd := exec.CommandContext(ctx, "apt-get", args...)
		cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("install %s: %w: %s", strings.Join(missing, " "), err, out)
		}
	}
	return nil
}

// Run runs a command and returns what it printed.
func Run(ctx context.Context, argv ...string) (string, error) {
	out, err := exec.CommandContext(ctx, argv[0], argv[1:]...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", strings.Join(argv, " "), err, out)
	}
	return string(out), nil
}

// each runs commands, one in a line.
func each(ctx context.Context, lines string) error {
	for line := range strings.Lines(lines) {
		if words := strings.Fields(line); len(words) > 0 {
			if _, err := Run(ctx, words...); err != nil {
				return err
			}
		}
	}
	return nil
}

// connect makes the namespace and a pair of interfaces between it and this side.
func (c *Cluster) connect(ctx context.Context) error {
	near, far := "n-"+c.options.Name, "f-"+c.options.Name
	from := "ip"
	if c.options.From != "" {
		from = "ip -n " + c.options.From
	}
	return each(ctx, strings.NewReplacer("NS", c.options.Name, "NEAR", near, "FAR", far, "NET", c.options.Net, "FROM", from).Replace(`
		ip netns add NS
		FROM link add NEAR type veth peer name FAR netns NS
		FROM addr add NET.1/24 dev NEAR
		FROM link set NEAR up
		ip -n NS addr add NET.2/24 dev FAR
		ip -n NS link set FAR up
		ip -n NS link set lo up
		ip -n NS route add default via NET.1
		ip -n NS addr add `+ServiceAddress+`/32 dev lo
		ip -n NS addr add `+DNSAddress+`/32 dev lo
	`))
}

// wait until a condition is true.
func wait(ctx context.Context, what string, ok func() bool) error {
	for !ok() {
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait until %s: %w", what, ctx.Err())
		case <-time.After(10 * time.Millisecond):
		}
	}
	return nil
}

// start runs a program inside the namespace until Close.
func (c *Cluster) start(name string, argv ...string) error {
	out, err := os.OpenFile(filepath.Join(c.options.Dir, name+".log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	cmd := exec.Command("ip", append([]string{"netns", "exec", c.options.Name}, argv...)...)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", name, err)
	}
	c.processes[name] = cmd
	return nil
}

// end a program that start started.
func (c *Cluster) end(name string) {
	if cmd := c.processes[name]; cmd != nil {
		_ = cmd.Process.Signal(os.Interrupt) // it may have ended
		timer := time.AfterFunc(10*time.Second, func() { _ = cmd.Process.Kill() })
		_ = cmd.Wait() // however it ended
		timer.Stop()
		delete(c.processes, name)
	}
}

// newKey makes a pair of keys in base64.
func newKey(ctx context.Context) (private, public string, err error) {
	if private, err = Run(ctx, "wg", "genkey"); err != nil {
		return "", "", err
	}
	cmd := exec.CommandContext(ctx, "wg", "pubkey")
	cmd.Stdin = strings.NewReader(private)
	out, err := cmd.Output()
	return strings.TrimSpace(private), strings.TrimSpace(string(out)), err
}

// startMesh runs the other end of the mesh.
func (c *Cluster) startMesh(ctx context.Context) error {
	name := "wg-" + c.options.Name
	if err := c.start("wireguard", "wireguard-go", "-f", name); err != nil {
		return err
	}
	if err := wait(ctx, "wireguard-go runs", func() bool { return answers(name) }); err != nil {
		return err
	}
	private, public, err := newKey(ctx)
	if err != nil {
		return err
	}
	c.PeerKey = public
	file := filepath.Join(c.options.Dir, "wg.key")
	if err := os.WriteFile(file, []byte(private), 0o600); err != nil {
		return err
	}
	err = each(ctx, strings.NewReplacer("NS", c.options.Name, "WG", name, "KEYFILE", file).Replace(fmt.Sprintf(`
		wg set WG listen-port %d private-key KEYFILE
		ip -n NS addr add %s/32 dev WG
		ip -n NS link set WG mtu 1280 up
		ip -n NS route add 10.7.0.0/16 dev WG src %s
	`, MeshPort, ClusterAddress, ClusterAddress)))
	if err != nil {
		return err
	}
	first, err := c.AddPod(ctx)
	c.PrivateKey = first.PrivateKey
	return err
}

func (c *Cluster) startPeer(ctx context.Context) error {
	args := []string{c.peer, "-dir", c.options.Dir, "-prefix", c.Prefix, "-listen", fmt.Sprintf("0.0.0.0:%d", ServerPort),
		"-dns", DNSAddress + ":53", "-name", ServiceName, "-service", ServiceAddress + ":80"}
	_ = os.Remove(filepath.Join(c.options.Dir, ControlSocket)) // of an earlier one
	if err := c.start("peer", args...); err != nil {
		return err
	}
	return wait(ctx, "the peer answers", func() bool { _, err := c.ask(ctx, http.MethodGet, "requests"); return err == nil })
}

// StartIngress runs nginx before the server, at both ports if there is a certificate.
func (c *Cluster) StartIngress(ctx context.Context) error {
	dir := filepath.Join(c.options.Dir, "nginx")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	ports := []int{IngressPort}
	secured := ""
	if c.options.Cert != "" {
		ports = append(ports, TLSIngressPort)
		secured = fmt.Sprintf("listen %s:%d ssl; ssl_certificate %s; ssl_certificate_key %s;", c.Address, TLSIngressPort, c.options.Cert, c.options.Key)
	}
	text := fmt.Sprintf(`daemon off; user root; worker_processes 1; pid %[1]s/pid; error_log stderr error;
events { worker_connections 512; }
http {
  access_log off; client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/fastcgi; uwsgi_temp_path %[1]s/uwsgi; scgi_temp_path %[1]s/scgi;
  server {
    listen %[2]s:%[3]d; %[4]s
    location / {
      proxy_pass http://127.0.0.1:%[5]d; proxy_http_version 1.1; proxy_buffering off;
      proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection "upgrade"; proxy_set_header Host $host;
      proxy_read_timeout %[6]s; proxy_send_timeout %[6]s;
    }
  }
}
`, dir, c.Address, IngressPort, secured, ServerPort, c.options.IngressTimeout)
	file := filepath.Join(dir, "nginx.conf")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return err
	}
	if err := c.start("nginx", "nginx", "-p", dir, "-c", file); err != nil {
		return err
	}
	for _, port := range ports {
		err := wait(ctx, "the Ingress listens", func() bool {
			_, err := Run(ctx, "ip", "netns", "exec", c.options.Name, c.peer, "fetch", "-probe", fmt.Sprintf("%s:%d", c.Address, port))
			return err == nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// StopIngress ends nginx and with it all connections through it.
func (c *Cluster) StopIngress() { c.end("nginx") }

// Do tells the server to do something: cut, mute, unmute, stop, start, or refuse?status=N.
func (c *Cluster) Do(ctx context.Context, what string) error {
	_, err := c.ask(ctx, http.MethodPost, what)
	return err
}

// Waiting requests at a reverse port HOST:PORT of the server.
func (c *Cluster) Waiting(ctx context.Context, address string) (string, error) {
	return c.ask(ctx, http.MethodGet, "waiting?address="+url.QueryEscape(address))
}

// Fetch gets a page from inside the cluster.
func (c *Cluster) Fetch(ctx context.Context, address string) (string, error) {
	return c.ask(ctx, http.MethodGet, "fetch?url="+url.QueryEscape(address))
}

func (c *Cluster) ask(ctx context.Context, method, path string) (string, error) {
	client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			var dialer net.Dialer
			return dialer.DialContext(ctx, "unix", filepath.Join(c.options.Dir, ControlSocket))
		}}}
	request, err := http.NewRequestWithContext(ctx, method, "http://peer/"+path, nil)
	if err != nil {
		return "", err
	}
	response, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s: %s: %s", path, response.Status, text)
	}
	return string(text), err
}

// Peer is the path of the program that runs inside, which is a client too: see
// tests/clusterpeer/peer.
func (c *Cluster) Peer() string { return c.peer }

// Close ends the programs and removes the namespace.
func (c *Cluster) Close() error {
	for _, name := range []string{"nginx", "peer", "wireguard"} {
		c.end(name)
	}
	_, err := Run(context.Background(), "ip", "netns", "del", c.options.Name)
	return err
}
