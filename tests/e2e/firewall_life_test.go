//go:build e2e

package e2e_test

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/nftables"
	"github.com/google/uuid"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/firewall"
)

// rules counts those of the daemon's table, 0 if there is no table.
func (d *daemon) rules(t *testing.T) int {
	t.Helper()
	conn, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	chains, err := conn.ListChainsOfTableFamily(nftables.TableFamilyINet)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, chain := range chains {
		if chain.Table.Name != firewall.Table(d.instance) {
			continue
		}
		rules, err := conn.GetRules(chain.Table, chain)
		if err != nil {
			t.Fatal(err)
		}
		n += len(rules)
	}
	return n
}

// through has the daemon's next processes started by a command.
func (d *daemon) through(t *testing.T, command string) {
	t.Helper()
	script := filepath.Join(d.dir, "start-"+uuid.NewString()[:8])
	content := fmt.Sprintf("#!/bin/sh\n%s\n", strings.ReplaceAll(command, "DOCKER_SD", d.Binary+` "$@"`))
	if err := os.WriteFile(script, []byte(content), 0o700); err != nil {
		t.Fatal(err)
	}
	d.Binary = script
}

// asker is a pod that asks a server of the host over and over, and says when the
// answers change.
func (d *daemon) asker(t *testing.T, port string) *podRun {
	t.Helper()
	script := "until test -x /vol/reach; do usleep 50000; done; gw=" + gateway + `
		trap 'exit 0' TERM; was=; while :; do now=$(/vol/reach tcp $gw:` + port + ` 2>/dev/null || echo no)
		test "$now" = "$was" || echo "reached: $now"; was=$now; usleep 200000; done`
	word := filepath.Join(d.hostPath(), uuid.NewString())
	buildReach(t, word)
	p := d.run(t, withVolume(newPod(shell("c", script)), hostDir(word), "/vol"))
	p.waitRunning()
	return p
}

// says waits until the pod has said something, as its last word.
func (p *podRun) says(what string) {
	p.t.Helper()
	text := ""
	eventually(p.t, runLimit, what, func() bool {
		text = p.logs("c", logOptions{})
		return strings.HasSuffix(text, what+"\n")
	}, func() string { return text })
}

// TestFirewallLives: the rules are there again after a kill and after others have
// removed them, they hold for pods of before, and go with the last sandbox.
func TestFirewallLives(t *testing.T) {
	t.Parallel()
	s := newHostServer(t)
	d := ownDaemon(t, 0, map[string]any{"PodFirewall": "disabled"})
	p := d.asker(t, s.port)
	p.says("reached: yes")
	if n := d.rules(t); n != 0 {
		t.Errorf("%d rules although they are disabled", n)
	}
	configure := func(key string, value any) {
		t.Helper()
		d.settings[key] = value
		if err := d.writeConfig(); err != nil {
			t.Fatal(err)
		}
	}
	// A pod whose network has a name of the engine's, as earlier versions made them.
	if err := d.kill(); err != nil {
		t.Fatal(err)
	}
	configure("PodFirewall", "enabled")
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	p.says("reached: no")
	made := d.rules(t)
	if made == 0 {
		t.Fatal("there are no rules")
	}
	for again := range 2 {
		if err := d.kill(); err != nil {
			t.Fatal(err)
		}
		if n := d.rules(t); n != made {
			t.Errorf("%d rules while docker-sd does not run, want %d", n, made)
		}
		if err := d.start(); err != nil {
			t.Fatal(err)
		}
		eventually(t, runLimit, "the rules are made at each start", func() bool {
			return strings.Count(d.log.String(), "pods are kept from this host's ports") == again+2
		}, d.log.String)
		if n := d.rules(t); n != made {
			t.Errorf("%d rules after another start, want %d", n, made)
		}
	}
	if err := firewall.Remove(d.instance); err != nil {
		t.Fatal(err)
	}
	eventually(t, runLimit, "the rules are back", func() bool { return d.rules(t) == made }, func() string { return fmt.Sprint(d.rules(t)) })
	eventually(t, runLimit, "the log says that the rules had gone", func() bool {
		return strings.Contains(d.log.String(), "the rules for pods' networks were made again")
	}, nil)
	p.says("reached: no")
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	if n := d.rules(t); n != made {
		t.Errorf("%d rules after a stop with a pod, want %d", n, made)
	}
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	p.delete(0)
	p.waitGone()
	eventually(t, runLimit, "the sandbox's network is gone", func() bool {
		left, err := d.engine.networks(t.Context(), d.label())
		return err == nil && len(left) == 0
	}, nil)
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	if n := d.rules(t); n != 0 {
		t.Errorf("%d rules are left although no sandbox is", n)
	}
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
}

// TestFirewallCannotBeMade: without the capability, or in another network namespace
// than the engine, docker-sd says so; required then makes no sandbox.
func TestFirewallCannotBeMade(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ command, words string }{
		"no capability":     {"exec setpriv --bounding-set=-net_admin DOCKER_SD", "it takes the capability NET_ADMIN"},
		"another namespace": {"exec unshare --net DOCKER_SD", "is not in the network namespace of docker-sd"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := prepareDaemon(t, map[string]any{"AVAILABLEDINDS": 0, "PodFirewall": "enabled"})
			d.through(t, c.command)
			if err := d.start(); err != nil {
				t.Fatal(err)
			}
			if got := d.run(t, newPod(shell("c", "echo hello"))).output(); got != "hello\n" {
				t.Errorf("log = %q", got)
			}
			for _, want := range []string{"nothing keeps pods from this host", c.words, "run docker-sd in the network namespace of the Docker engine"} {
				if !strings.Contains(d.log.String(), want) {
					t.Errorf("the log lacks %q", want)
				}
			}
			if err := d.stop(); err != nil {
				t.Fatal(err)
			}
			d.settings["PodFirewall"] = "required"
			if err := d.writeConfig(); err != nil {
				t.Fatal(err)
			}
			if err := d.start(); err != nil {
				t.Fatal(err)
			}
			p := d.run(t, newPod(shell("c", "echo hello")))
			eventually(t, runLimit, "the log says why no sandbox is made", func() bool {
				return strings.Contains(d.log.String(), "boot sandbox") && strings.Contains(d.log.String(), "nothing keeps pods from this host: ")
			}, nil)
			if p.status().Container("c").State.Terminated != nil {
				t.Error("the pod has run")
			}
		})
	}
}

// TestPodsAskTheHostsResolver: a name server that is the host itself answers to
// pods where the host's resolver configuration names it, and to no other question.
func TestPodsAskTheHostsResolver(t *testing.T) {
	t.Parallel()
	own := hostAddresses(t)[0]
	server, err := net.ListenPacket("udp4", own+":53")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	go answerNames(server)
	for name, c := range map[string]struct{ config, want string }{
		"named":     {"nameserver 127.0.0.53\nnameserver " + own + "\n", "yes"},
		"not named": {"nameserver 192.0.2.53\n", ""},
	} {
		t.Run(name, func(t *testing.T) {
			d := prepareDaemon(t, map[string]any{"AVAILABLEDINDS": 0, "PodFirewall": "required"})
			file := filepath.Join(d.dir, "resolv.conf")
			if err := os.WriteFile(file, []byte(c.config), 0o644); err != nil {
				t.Fatal(err)
			}
			d.through(t, "exec unshare --mount sh -c 'mount --bind "+file+` "$(readlink -f /etc/resolv.conf)"; exec "$@"' sh DOCKER_SD`)
			if err := d.start(); err != nil {
				t.Fatal(err)
			}
			tries := attempts{"name": "/vol/reach name some.example. " + own + ":53"}
			p := d.attacker(t, tries)
			if got := p.worked(tries)["name"]; got != (c.want == "yes") {
				t.Errorf("the name server answers: %t", got)
			}
		})
	}
}

// answerNames answers every question with 192.0.2.1.
func answerNames(server net.PacketConn) {
	buffer := make([]byte, 512)
	for {
		n, from, err := server.ReadFrom(buffer)
		if err != nil {
			return
		}
		if n < 17 {
			continue
		}
		end := 12
		for end < n && buffer[end] != 0 {
			end++
		}
		answer := append([]byte{}, buffer[:min(end+5, n)]...)
		// An answer to one question with one record, which points to the name asked for.
		copy(answer[2:], []byte{0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0})
		if kind := answer[len(answer)-3]; kind == 1 {
			answer = append(answer, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 1)
		} else {
			answer[7] = 0
		}
		_, _ = server.WriteTo(answer, from) // who asked asks again
	}
}
