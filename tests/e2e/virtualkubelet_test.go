//go:build e2e

package e2e_test

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/tests/certificates"
	"github.com/intertwin-eu/interlink-docker-plugin/tests/kit"
)

const kubeletToken = "the-token-of-the-virtual-kubelet"

// kubeletAddress is where the log says that Virtual Kubelets are answered.
var kubeletAddress = regexp.MustCompile(`docker-sd answers Virtual Kubelets.* address="?(127\.0\.0\.1:\d+)`)

// forKubelets is a docker-sd with InterlinkAPI, and the files of both sides.
type forKubelets struct {
	*daemon
	authority *certificates.Issued
	trusted   *x509.CertPool
	token     string
}

// prepareForKubelets writes the files of TLS and of a token, and the keys that name them.
func prepareForKubelets(t *testing.T, settings map[string]any) *forKubelets {
	t.Helper()
	d := &forKubelets{daemon: prepareDaemon(t, settings), authority: certificates.New(t, "authority", nil), trusted: x509.NewCertPool()}
	d.trusted.AppendCertsFromPEM([]byte(d.authority.PEM()))
	d.authority.Write(t, d.path("ca.crt"), d.path("ca.key"))
	certificates.New(t, "docker-sd", d.authority).Write(t, d.path("tls.crt"), d.path("tls.key"))
	d.token = d.path("token")
	certificates.Replace(t, d.token, kubeletToken, 0o600)
	d.configure(t, map[string]any{})
	return d
}

func (d *forKubelets) path(name string) string { return filepath.Join(d.dir, name) }

// configure gives InterlinkAPI all its files, and other values where they are named.
func (d *forKubelets) configure(t *testing.T, other map[string]any) {
	t.Helper()
	keys := map[string]any{"Address": "127.0.0.1:0", "TLSCertFile": d.path("tls.crt"), "TLSKeyFile": d.path("tls.key"),
		"TLSClientCAFile": d.path("ca.crt"), "BearerTokenFile": d.token}
	maps.Copy(keys, other)
	d.settings["InterlinkAPI"] = keys
	if err := d.writeConfig(); err != nil {
		t.Fatal(err)
	}
}

// kubelet is a Virtual Kubelet with a certificate of the authority, and the token.
func (d *forKubelets) kubelet(t *testing.T) kit.VirtualKubelet {
	t.Helper()
	var address []string
	eventually(t, runLimit, "the log says where Virtual Kubelets are answered", func() bool {
		address = kubeletAddress.FindStringSubmatch(d.log.String())
		return address != nil
	}, func() string { return d.log.Tail(20) })
	return kit.VirtualKubelet{Base: "https://" + address[1], Token: kubeletToken,
		TLS: &tls.Config{RootCAs: d.trusted, Certificates: []tls.Certificate{certificates.New(t, "virtual-kubelet", d.authority).Pair()}}}
}

// kubeletRecordings are requests of a Virtual Kubelet.
const kubeletRecordings = "../../pkg/interlink/testdata/virtualkubelet"

// TestVirtualKubeletRecordings replays what a Virtual Kubelet sends, in its order.
func TestVirtualKubeletRecordings(t *testing.T) {
	t.Parallel()
	d := prepareForKubelets(t, map[string]any{"AVAILABLEDINDS": 1})
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	d.waitReady(t)
	kubelet := d.kubelet(t)
	replay := func(name string) (int, string) {
		t.Helper()
		r := readRequest(t, d.daemon, filepath.Join(kubeletRecordings, name+".json"))
		code, text, err := kubelet.Call(t.Context(), r.Method, r.Path, r.Body)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return code, text
	}
	podOf := func(name string) *v1.Pod {
		var request kit.PodCreate
		if err := json.Unmarshal(readRequest(t, d.daemon, filepath.Join(kubeletRecordings, name+".json")).Body, &request); err != nil {
			t.Fatal(err)
		}
		return request.Pod
	}
	answered := func(name string, code int, text string) {
		t.Helper()
		if got, said := replay(name); got != code || !strings.Contains(said, text) {
			t.Fatalf("%s is answered %d %.500q, want %d with %q", name, got, said, code, text)
		}
	}
	answered("pinglink", 200, `"status":"ok"`)
	answered("status-running-pod", 200, "ContainerStatusUnknown")
	answered("create-with-pvc", 400, "PersistentVolumeClaims")
	code, text := replay("create-hello-world")
	hello := d.created(t, podOf("create-hello-world"), code, text)
	answered("getlogs-follow", 200, "hello world\n")
	hello.waitPhase(v1.PodSucceeded)
	answered("status-hello-world", 200, `"exitCode":0`)
	answered("getlogs-tail-timestamps", 200, "Z hello world\n")
	code, text = replay("create-full-pod")
	full := d.created(t, podOf("create-full-pod"), code, text)
	full.waitPhase(v1.PodSucceeded)
	if got := full.logs("main", logOptions{}); !strings.Contains(got, "alpha\n") { // of a ConfigMap
		t.Errorf("log of the pod with all kinds of volumes: %q", got)
	}
	code, text = replay("create-restart-always")
	again := d.created(t, podOf("create-restart-always"), code, text)
	again.waitFor("the first restart", func(s podStatus) bool { return s.Container("c").RestartCount >= 1 })
	answered("delete-hello-world", 200, "")
	answered("updatecache", 200, "")
	answered("create-hello-world", 409, "")
}

// TestVirtualKubeletAccess: each thing that a caller has to bring along is missed, and with
// all of them it is answered.
func TestVirtualKubeletAccess(t *testing.T) {
	t.Parallel()
	d := prepareForKubelets(t, map[string]any{"AVAILABLEDINDS": 0})
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	right := d.kubelet(t)
	ping := func(change func(*kit.VirtualKubelet)) (int, error) {
		k := right
		k.TLS = right.TLS.Clone()
		change(&k)
		code, _, err := k.Call(t.Context(), http.MethodPost, "/pinglink", nil)
		return code, err
	}
	if code, err := ping(func(*kit.VirtualKubelet) {}); code != 200 || err != nil {
		t.Fatalf("a Virtual Kubelet is answered %d, %v", code, err)
	}
	for name, change := range map[string]func(*kit.VirtualKubelet){
		"no token":      func(k *kit.VirtualKubelet) { k.Token = "" },
		"another token": func(k *kit.VirtualKubelet) { k.Token += "x" },
	} {
		if code, err := ping(change); code != 401 || err != nil {
			t.Errorf("with %s: %d, %v", name, code, err)
		}
	}
	for name, change := range map[string]func(*kit.VirtualKubelet){
		"no certificate": func(k *kit.VirtualKubelet) { k.TLS.Certificates = nil },
		"a certificate of another's": func(k *kit.VirtualKubelet) {
			k.TLS.Certificates = []tls.Certificate{certificates.New(t, "authority", nil).Pair()}
		},
		"TLS 1.1":                          func(k *kit.VirtualKubelet) { k.TLS.MinVersion, k.TLS.MaxVersion = tls.VersionTLS11, tls.VersionTLS11 },
		"another authority for the server": func(k *kit.VirtualKubelet) { k.TLS.RootCAs = x509.NewCertPool() },
	} {
		if code, err := ping(change); err == nil {
			t.Errorf("with %s: answered %d", name, code)
		}
	}
	address := strings.TrimPrefix(right.Base, "https://")
	// In the handshake itself, which TLS 1.2 ends after the caller's certificate.
	if _, err := shownTo(t, address); err == nil {
		t.Error("the handshake without a certificate ends well")
	}
	if name, err := shownTo(t, address, right.TLS.Certificates...); name != "docker-sd" || err != nil {
		t.Errorf("the handshake with one: %q, %v", name, err)
	}
	// In the clear, and as a plugin is called.
	if code, _, err := (kit.VirtualKubelet{Base: "http://" + address, Token: kubeletToken}).Call(t.Context(), http.MethodPost, "/pinglink", nil); err == nil && code == 200 {
		t.Errorf("without TLS: %d", code)
	}
	pod := newPod(shell("c", "true"))
	for name, body := range map[string]any{"list of 2024": []createRequest{newCreate(pod)}, "body for a plugin": newCreate(pod)} {
		code, text, err := right.Call(t.Context(), http.MethodPost, "/create", encode(t, body))
		if code != 400 || !strings.Contains(text, "Expected is one object with pod, configmaps, secrets and projectedvolumesmaps") || err != nil {
			t.Errorf("%s: %d %q, %v", name, code, text, err)
		}
	}
	if text := d.log.String(); strings.Contains(text, kubeletToken) {
		t.Error("the log has the token")
	}
}

// quietPort is an address of this host that is free, and that is given to no connection
// meanwhile: those have higher ports.
func quietPort(t *testing.T) string {
	t.Helper()
	for range 100 {
		address := fmt.Sprintf("0.0.0.0:%d", 20000+rand.IntN(10000))
		if free, err := net.Listen("tcp", address); err == nil {
			free.Close()
			return address
		}
	}
	t.Fatal("no port is free")
	return ""
}

// TestInterlinkAPIRefusedAndChecked: what is open to the network starts with proof alone,
// and a check says what there is.
func TestInterlinkAPIRefusedAndChecked(t *testing.T) {
	t.Parallel()
	d := prepareForKubelets(t, map[string]any{"AVAILABLEDINDS": 0})
	wide := quietPort(t)
	for name, other := range map[string]map[string]any{
		"in the clear":      {"TLSCertFile": "", "TLSKeyFile": "", "TLSClientCAFile": ""},
		"open to everybody": {"TLSClientCAFile": "", "BearerTokenFile": ""},
	} {
		t.Run(name, func(t *testing.T) {
			other["Address"] = wide
			d.configure(t, other)
			d.failsToStart(t, "InterlinkAPI.Address", wide, "can run pods")
		})
	}
	d.configure(t, map[string]any{"Address": wide, "TLSClientCAFile": ""})
	report, _ := d.checked(t, "--no-boot")
	if l := lineOf(t, report, "interlink api"); l.Verdict != "warn" || !strings.Contains(l.Found, "a token and no certificate") {
		t.Errorf("a token alone: %+v", l)
	}
	if err := os.Chmod(d.token, 0o644); err != nil {
		t.Fatal(err)
	}
	report, _ = d.checked(t, "--no-boot")
	if l := lineOf(t, report, "interlink api access"); l.Verdict != "fail" || !strings.Contains(l.Found, "chmod 600") {
		t.Errorf("a token for everybody: %+v", l)
	}
	d.failsToStart(t, "InterlinkAPI: BearerTokenFile", d.token, "chmod 600")
	if err := os.Chmod(d.token, 0o600); err != nil {
		t.Fatal(err)
	}
	d.configure(t, map[string]any{"Address": wide})
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	report, _ = d.checked(t, "--no-boot")
	if l := lineOf(t, report, "interlink api"); l.Verdict != "ok" || !strings.Contains(l.Found, wide+" is answered by the docker-sd that runs") {
		t.Errorf("all is set: %+v", l)
	}
	if l := lineOf(t, report, "interlink certificate"); l.Verdict != "warn" || !strings.Contains(l.Found, "tls.crt expires on") { // those of tests last an hour
		t.Errorf("the certificate: %+v", l)
	}
}

// TestInterlinkAPISocket: a proxy that runs as another user reaches the socket where its
// group is named.
func TestInterlinkAPISocket(t *testing.T) {
	t.Parallel()
	const user, group, stranger = 64001, 64002, 64003
	d := prepareDaemon(t, map[string]any{"AVAILABLEDINDS": 0, "SocketGroup": strconv.Itoa(group)})
	socket := filepath.Join(d.dir, "interlink.sock")
	d.settings["InterlinkAPI"] = map[string]any{"Address": "unix://" + socket}
	if err := d.writeConfig(); err != nil {
		t.Fatal(err)
	}
	for dir := d.dir; dir != "/" && dir != os.TempDir(); dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o711); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	caller := kit.Unix(socket)
	defer caller.Close()
	if code, text, err := caller.Call(t.Context(), http.MethodPost, "/pinglink", nil, apiHeaders()); code != 200 || err != nil {
		t.Errorf("the ping is answered %d %s, %v", code, text, err)
	}
	if err := connectAs(user, group, socket); err != nil {
		t.Errorf("the group cannot connect: %v", err)
	}
	if err := connectAs(user, stranger, socket); err == nil {
		t.Error("a stranger can connect")
	}
}
