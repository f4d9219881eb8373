package firewall

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/containerd/containerd/log"
)

// inside marks the process that has user and network namespaces of its own.
const inside = "FIREWALL_TEST_INSIDE"

// TestMain runs the tests in a network namespace of their own, where they may make
// rules, whoever runs them.
func TestMain(m *testing.M) {
	if os.Getenv(inside) != "" {
		os.Exit(m.Run())
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}}
	if err := cmd.Run(); err != nil {
		fmt.Fprintln(os.Stderr, "firewall: tests in a namespace of their own:", err)
		os.Exit(1)
	}
}

func tableOf(t *testing.T, instance string) []string {
	t.Helper()
	got, err := present(Table(instance))
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestNames(t *testing.T) {
	a, b := New(Config{Instance: "one"}), New(Config{Instance: "two"})
	seen := map[string]bool{}
	for _, f := range []*Firewall{a, b} {
		for i := range 200 {
			name := f.Bridge(fmt.Sprintf("%d_dind", i))
			if len(name) != 15 || !strings.HasPrefix(name, prefix(f.config.Instance)) || !strings.HasPrefix(name, family) || seen[name] {
				t.Fatalf("bridge %q", name)
			}
			seen[name] = true
		}
	}
	if prefix("one") == prefix("two") || a.Bridge("x_dind") != New(Config{Instance: "one"}).Bridge("x_dind") {
		t.Error("names do not tell instances apart, or change")
	}
}

func TestApply(t *testing.T) {
	none := func() []netip.Addr { return nil }
	for name, c := range map[string]Config{
		"all kept": {Resolvers: none},
		"ports":    {Resolvers: none, Host: []Endpoint{{Port: 3128}, {Port: 514, UDP: true}, {Address: netip.MustParseAddr("192.0.2.1"), Port: 80}, {Address: netip.MustParseAddr("2001:db8::1"), Port: 80}}},
		"all open": {Resolvers: none, AnyHost: true, Metadata: true},
		"resolvers": {Resolvers: func() []netip.Addr {
			return []netip.Addr{netip.MustParseAddr("192.0.2.53"), netip.MustParseAddr("2001:db8::53")}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			c.Instance = "apply"
			f := New(c)
			if err := f.Guarded(t.Context(), "lo"); err != nil {
				t.Errorf("before the rules, not required: %v", err)
			}
			if err := Try(c); err != nil {
				t.Fatal(err)
			}
			if got := tableOf(t, "apply-check"); len(got) > 0 {
				t.Errorf("a trial leaves %v", got)
			}
			for range 2 { // a second time as after a restart
				if err := f.Apply([]string{"br-0123456789ab", f.Bridge("new")}); err != nil {
					t.Fatal(err)
				}
				if got := tableOf(t, "apply"); !slices.Equal(got, f.applied) || len(got) == 0 {
					t.Errorf("the table has\n%v, want\n%v", got, f.applied)
				}
			}
			if !slices.Equal(f.earlier, []string{"br-0123456789ab"}) {
				t.Errorf("earlier bridges are %v", f.earlier)
			}
			if again, err := f.keep(); again != "" || err != nil {
				t.Errorf("keep() = %q, %v although nothing has changed", again, err)
			}
			for range 2 {
				if err := Remove("apply"); err != nil {
					t.Fatal(err)
				}
			}
			if got := tableOf(t, "apply"); len(got) > 0 {
				t.Errorf("the table still has %v", got)
			}
		})
	}
}

// TestKeep: rules that have gone or changed come back, and others are left alone.
func TestKeep(t *testing.T) {
	servers := []netip.Addr{netip.MustParseAddr("192.0.2.53")}
	f, other := New(Config{Instance: "kept", Resolvers: func() []netip.Addr { return servers }}), New(Config{Instance: "other"})
	for _, one := range []*Firewall{f, other} {
		if err := one.Apply(nil); err != nil {
			t.Fatal(err)
		}
		defer func() {
			if err := Remove(one.config.Instance); err != nil {
				t.Error(err)
			}
		}()
	}
	want, others := tableOf(t, "kept"), tableOf(t, "other")
	for name, spoil := range map[string]func() error{
		"removed": func() error { return Remove("kept") },
		"changed": func() error {
			return replace(Table("kept"), ruleset(Config{Instance: "kept", AnyHost: true}, nil, servers))
		},
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		if again, err := f.keep(); again == "" || err != nil {
			t.Errorf("%s: keep() = %q, %v", name, again, err)
		}
		if got := tableOf(t, "kept"); !slices.Equal(got, want) {
			t.Errorf("%s: the table has %v", name, got)
		}
	}
	servers = append(servers, netip.MustParseAddr("192.0.2.54"))
	if again, err := f.keep(); !strings.Contains(again, "resolvers") || err != nil {
		t.Errorf("keep() = %q, %v with another resolver", again, err)
	}
	if got := tableOf(t, "kept"); len(got) != len(want)+4 {
		t.Errorf("the table has %d rules, had %d", len(got), len(want))
	}
	if got := tableOf(t, "other"); !slices.Equal(got, others) {
		t.Errorf("the other instance's table has %v", got)
	}
}

func TestRun(t *testing.T) {
	f := New(Config{Instance: "run"})
	ctx, cancel := context.WithCancel(log.WithLogger(t.Context(), log.L))
	done := make(chan struct{})
	go func() { defer close(done); f.Run(ctx) }()
	deadline := time.Now().Add(time.Minute)
	for len(tableOf(t, "run")) == 0 { // Apply has not been called, as where it failed
		if time.Now().After(deadline) {
			t.Fatal("the rules were not made")
		}
		time.Sleep(50 * time.Millisecond)
	}
	cancel()
	<-done
	if len(tableOf(t, "run")) == 0 {
		t.Error("the rules did not stay")
	}
	if err := Remove("run"); err != nil {
		t.Fatal(err)
	}
}

func TestGuarded(t *testing.T) {
	f := New(Config{Instance: "guard", Required: true})
	if err := f.Guarded(t.Context(), "lo"); err == nil {
		t.Error("a network is guarded without rules")
	}
	if err := f.Apply(nil); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := Remove("guard"); err != nil {
			t.Error(err)
		}
	}()
	if err := f.Guarded(t.Context(), "lo"); err != nil {
		t.Error(err)
	}
	if err := f.Guarded(t.Context(), "elsewhere"); err == nil || !strings.Contains(err.Error(), "network namespace") {
		t.Errorf("a network of another namespace: %v", err)
	}
}

func TestResolvers(t *testing.T) {
	file := t.TempDir() + "/resolv.conf"
	text := "# nameserver 192.0.2.1\nsearch example.org\nnameserver 127.0.0.53\nnameserver ::1\nnameserver 192.0.2.53\nnameserver fe80::1%eth0\nnameserver\nnameserver host\nnameserver 192.0.2.53\n"
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	had := resolverFiles
	defer func() { resolverFiles = had }()
	resolverFiles = []string{file, file + ".none", file}
	want := []netip.Addr{netip.MustParseAddr("192.0.2.53"), netip.MustParseAddr("fe80::1")}
	if got := hostResolvers(); !slices.Equal(got, want) {
		t.Errorf("hostResolvers() = %v, want %v", got, want)
	}
}
