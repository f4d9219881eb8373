package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"strings"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/tests/kit"
)

// The files of the script in docs/install.md that a Virtual Kubelet has.
const (
	scriptDir     = "/root/install"
	scriptTLS     = "/etc/interlink/tls/"
	nameOfSandbox = "docker:dind" // the default SandboxImage
)

// installScript takes a machine without docker-sd by the lines of docs/install.md, as they
// are in the package, to the other end of a virtual node, and is its Virtual Kubelet.
func installScript(ctx context.Context, h *host) error {
	if err := fresh(ctx, h); err != nil {
		return err
	}
	guide, err := sh(ctx, "dpkg-deb --fsys-tarfile "+shareDir+"/docker-sd.deb | tar -xO ./usr/share/doc/docker-sd/docs/install.md")
	if err != nil {
		return err
	}
	lines, err := kit.Script(guide)
	if err != nil {
		return err
	}
	if err := os.WriteFile(scriptDir+"/install.sh", []byte(lines), 0o700); err != nil {
		return err
	}
	if _, err := sh(ctx, "cd "+scriptDir+" && sh -eu install.sh"); err != nil {
		return err
	}
	kubelet, err := virtualKubelet(ctx)
	if err != nil {
		return err
	}
	if err := refusesStrangers(ctx, kubelet); err != nil {
		return err
	}
	// An emulated machine boots a sandbox slowly.
	if _, err := sh(ctx, "echo 'SandboxBootTimeout: 10m' >>/etc/interlink/docker-sd.yaml && systemctl restart docker-sd"); err != nil {
		return err
	}
	return offloaded(ctx, h, kubelet)
}

// fresh removes docker-sd and its files, and brings the package and the image that others
// pull from a registry. An emulated machine has no time to make sandboxes that no pod needs.
func fresh(ctx context.Context, h *host) error {
	for _, script := range []string{
		"! dpkg -s docker-sd >/dev/null 2>&1 || dpkg --purge docker-sd",
		"rm -rf /etc/interlink " + scriptDir,
		"echo AVAILABLEDINDS=0 >/etc/default/docker-sd",
		"mkdir " + scriptDir + " && cp " + shareDir + "/docker-sd.deb " + scriptDir + "/docker-sd_0_amd64.deb",
		"docker tag " + h.sandbox + " " + nameOfSandbox,
	} {
		if _, err := sh(ctx, script); err != nil {
			return err
		}
	}
	return nil
}

// virtualKubelet has the files that the script has made for it.
func virtualKubelet(ctx context.Context) (kit.VirtualKubelet, error) {
	address, err := sh(ctx, "hostname -I | cut -d' ' -f1")
	if err != nil {
		return kit.VirtualKubelet{}, err
	}
	pair, err := tls.LoadX509KeyPair(scriptTLS+"virtual-kubelet.crt", scriptTLS+"virtual-kubelet.key")
	if err != nil {
		return kit.VirtualKubelet{}, err
	}
	authority, err := os.ReadFile(scriptTLS + "ca.crt")
	if err != nil {
		return kit.VirtualKubelet{}, err
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(authority)
	return kit.VirtualKubelet{Base: "https://" + address + ":3000", TLS: &tls.Config{RootCAs: trusted, Certificates: []tls.Certificate{pair}}}, nil
}

// refusesStrangers: the Virtual Kubelet is answered, and nobody who lacks its certificate,
// or has the server's.
func refusesStrangers(ctx context.Context, kubelet kit.VirtualKubelet) error {
	if code, text, err := kubelet.Call(ctx, http.MethodPost, "/pinglink", nil); err != nil || code != http.StatusOK || !strings.Contains(text, `"status":"ok"`) {
		return errors.Join(fmt.Errorf("the ping is answered with %d %s", code, text), err)
	}
	server, err := tls.LoadX509KeyPair(scriptTLS+"docker-sd.crt", scriptTLS+"docker-sd.key")
	if err != nil {
		return err
	}
	for name, shown := range map[string][]tls.Certificate{"no certificate": nil, "the server's certificate": {server}} {
		stranger := kubelet
		stranger.TLS = kubelet.TLS.Clone()
		stranger.TLS.Certificates = shown
		if code, _, err := stranger.Call(ctx, http.MethodPost, "/pinglink", nil); err == nil {
			return fmt.Errorf("a caller with %s is answered with %d", name, code)
		}
	}
	return says(ctx, "stat -c %a "+scriptTLS+"*.key | sort -u", "600")
}

// offloaded is the life of a pod as the Virtual Kubelet has it.
func offloaded(ctx context.Context, h *host, kubelet kit.VirtualKubelet) error {
	p := h.newPod(v1.RestartPolicyNever, "echo by the built-in API; exit 3")
	ask := func(method, path string, body any) (string, error) {
		encoded, err := json.Marshal(body)
		if err != nil {
			return "", err
		}
		code, text, err := kubelet.Call(ctx, method, path, encoded)
		if err == nil && code != http.StatusOK {
			err = fmt.Errorf("%s is answered with %d: %s", path, code, text)
		}
		return text, err
	}
	if _, err := ask(http.MethodPost, "/create", kit.PodCreate{Pod: p.Pod}); err != nil {
		return err
	}
	err := await(ctx, "the end of the pod", func() error {
		text, err := ask(http.MethodGet, "/status", []any{p.Pod})
		if err == nil && !strings.Contains(text, `"exitCode":3`) {
			err = fmt.Errorf("its status is %s", text)
		}
		return err
	})
	if err != nil {
		return err
	}
	log, err := kit.LogBody(p.Pod, p.Spec.Containers[0].Name, kit.LogOptions{Follow: true})
	if err != nil {
		return err
	}
	if code, text, err := kubelet.Call(ctx, http.MethodGet, "/getLogs", log); err != nil || text != "by the built-in API\n" {
		return errors.Join(fmt.Errorf("the log is answered with %d %q", code, text), err)
	}
	_, err = ask(http.MethodDelete, "/delete", p.Pod)
	return err
}
