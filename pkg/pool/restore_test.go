package pool_test

import (
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/errdefs"
	"github.com/google/uuid"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/pool"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/sandbox/sandboxtest"
)

// fill leaves on the host what a docker-sd with these settings leaves.
func fill(t *testing.T, host *sandboxtest.Fake, config pool.Config) []string {
	t.Helper()
	p := pool.New(config, host)
	run(t, p)()
	return host.Names()
}

// restored is a new run's pool after it has looked at what is there.
func restored(t *testing.T, host *sandboxtest.Fake, config pool.Config, keep ...string) *pool.Pool {
	t.Helper()
	claimed := map[string]bool{}
	for _, name := range keep {
		claimed[name] = true
	}
	return restoredKeeping(t, host, config, claimed)
}

func restoredKeeping(t *testing.T, host *sandboxtest.Fake, config pool.Config, claimed map[string]bool) *pool.Pool {
	t.Helper()
	p := pool.New(config, host)
	t.Cleanup(p.Close)
	if err := p.CheckInstance(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.Keep(claimed)
	if err := p.Restore(t.Context()); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	return p
}

func TestRestoreRejoins(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
		earlier := fill(t, host, config)
		p := restored(t, host, config)
		wantStats(t, p, 2, 0, 0)
		wantSame(t, "containers", host.Names(), earlier)
		c := p.Reserve(nil)
		s := claim(t, c)
		if s.Name != c.Name || s.ID != host.IDOf(c.Name) || s.IP == "" || s.Engine.Ping(t.Context()) != nil {
			t.Errorf("a rejoined sandbox is not whole: %+v", s)
		}
		host.Kill(s.ID)
		<-s.Gone()
	})
}

// A sandbox that a pod has used is not warm, whatever its name says: the next pod would
// read what the first one left. It may be a live pod's, and has its grace.
func TestRestoreTakesNoUsedOnes(t *testing.T) {
	for name, use := range map[string]func(t *testing.T, host *sandboxtest.Fake, dir string){
		"containers": func(_ *testing.T, host *sandboxtest.Fake, _ string) {
			defer host.Inner.List(`[{"Id":"c","Names":["/c"],"State":"running"}]`)
		},
		"files": func(t *testing.T, _ *sandboxtest.Fake, dir string) {
			if err := os.WriteFile(filepath.Join(dir, "pod", "secret"), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
				config.Size = 1
				earlier := fill(t, host, config)
				entries, err := os.ReadDir(config.Dir)
				if err != nil || len(entries) != 1 {
					t.Fatalf("%v, %v", entries, err)
				}
				use(t, host, filepath.Join(config.Dir, entries[0].Name()))
				p := restored(t, host, config)
				wantStats(t, p, 0, 0, 0)
				wantSame(t, "containers", host.Names(), earlier)
				wantSame(t, "folders", folders(t, config), 1)
			})
		})
	}
}

// TestRestoreAfterPriming: what a crash in the middle of priming left makes no sandbox a
// used one.
func TestRestoreAfterPriming(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
		config.Size = 1
		earlier := fill(t, host, config)
		host.Inner.List(`[{"Id":"primer","Names":["/prime"],"State":"created"}]`)
		p := restored(t, host, config)
		wantStats(t, p, 1, 0, 0)
		wantSame(t, "containers", host.Names(), earlier)
	})
}

func TestRestoreKeepsNoMoreThanSize(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
		fill(t, host, config)
		config.Size = 1
		p := restored(t, host, config)
		wantStats(t, p, 1, 0, 0)
		wantSame(t, "containers", len(host.Names()), 1)
		wantSame(t, "networks", len(host.NetworkNames()), 1)
		wantSame(t, "folders", folders(t, config), 1)
	})
}

func TestRestoreRemovesOtherGenerations(t *testing.T) {
	for name, change := range map[string]func(*pool.Config){
		"image":      func(c *pool.Config) { c.Image = "docker:30-dind" },
		"privileged": func(c *pool.Config) { c.Privileged = true },
		"mounts":     func(c *pool.Config) { c.Mounts = []engine.Mount{{Source: "/cvmfs", Target: "/cvmfs"}} },
		"bounds":     func(c *pool.Config) { c.Resources.MemoryBytes = 1 << 30 },
		"store":      func(c *pool.Config) { c.Store = "/var/lib/docker" },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
				fill(t, host, config)
				change(&config)
				p := restored(t, host, config)
				wantStats(t, p, 0, 0, 0)
				wantSame(t, "containers", host.Names(), []string(nil))
				wantSame(t, "networks", host.NetworkNames(), []string(nil))
				wantSame(t, "folders", folders(t, config), 0)
			})
		})
	}
}

func TestRestoreForgivesHowManyAndHowLong(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
		earlier := fill(t, host, config)
		config.Size, config.Parallel, config.BootTimeout, config.StrayGrace = 5, 1, time.Hour, time.Hour
		config.Subnets = []netip.Prefix{netip.MustParsePrefix("198.18.0.0/19")}
		p := restored(t, host, config)
		wantStats(t, p, 2, 0, 0)
		wantSame(t, "containers", host.Names(), earlier)
	})
}

func TestRestoreRemovesWhatIsHalfMade(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
		config.Size = 1
		whole := fill(t, host, config)
		labels := func(name string) map[string]string {
			out := maps.Clone(host.Containers[host.IDOf(whole[0])].Labels)
			out[engine.LabelSandbox] = name
			return out
		}
		// A network only, a container that was not started, one whose engine is away, a folder.
		alone, created, mute := uuid.NewString()+"_dind", uuid.NewString()+"_dind", uuid.NewString()+"_dind"
		if err := host.CreateNetwork(t.Context(), engine.NetworkSpec{Name: sandbox.NetworkName(alone), Labels: labels(alone)}); err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{created, mute} {
			id, err := host.Create(t.Context(), engine.Spec{Name: name, Labels: labels(name)})
			if err != nil {
				t.Fatal(err)
			}
			if name == mute {
				host.Mute = true
				if err := host.Start(t.Context(), id); err != nil {
					t.Fatal(err)
				}
				host.Mute = false
			}
		}
		if err := os.MkdirAll(filepath.Join(config.Dir, "0123456789abcdef", "pod"), 0o700); err != nil {
			t.Fatal(err)
		}
		// Not ours: it carries another instance's label.
		foreign := labels(uuid.NewString() + "_dind")
		foreign[engine.LabelInstance] = "another"
		if _, err := host.Create(t.Context(), engine.Spec{Name: "foreign", Labels: foreign}); err != nil {
			t.Fatal(err)
		}
		config.Size = 4
		p := restored(t, host, config)
		wantStats(t, p, 1, 0, 0)
		wantSame(t, "containers", len(host.Names()), 2)
		if host.IDOf("foreign") == "" || host.IDOf(whole[0]) == "" {
			t.Errorf("containers %v, want the foreign one and %s", host.Names(), whole[0])
		}
		wantSame(t, "networks", host.NetworkNames(), []string{sandbox.NetworkName(whole[0])})
		wantSame(t, "folders", folders(t, config), 1)
	})
}

func TestRestoreLeavesClaimedOnes(t *testing.T) {
	for name, c := range map[string]struct {
		assigned bool
		keep     func(sandbox string) string
	}{
		"by pool name":                     {false, func(s string) string { return s }},
		"by pool name, after it got a UID": {true, func(s string) string { return s }},
		"by assigned name":                 {true, func(string) string { return sandbox.AssignedName("uid") }},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
				config.Size = 1
				old := pool.New(config, host)
				stop := run(t, old)
				s := claim(t, old.Reserve(nil))
				if c.assigned {
					if err := old.Assign(t.Context(), s, "uid"); err != nil {
						t.Fatal(err)
					}
				}
				stop()
				// Another image, so that only the claim can keep it.
				config.Image = "docker:30-dind"
				p := restored(t, host, config, c.keep(s.Name))
				wantStats(t, p, 0, 0, 0)
				wantSame(t, "containers", len(host.Names()), 1)
				wantSame(t, "networks", host.NetworkNames(), []string{sandbox.NetworkName(s.Name)})
				if _, err := os.Stat(s.PodDir()); err != nil {
					t.Errorf("the folder of a claimed sandbox: %v", err)
				}
				adopted, err := p.Adopt(t.Context(), s.Name)
				if err != nil || adopted.ID != s.ID || adopted.IP != s.IP {
					t.Errorf("Adopt() = %+v, %v, want container %s", adopted, err, s.ID)
				}
			})
		})
	}
}

// TestRestoreReleases: a crash between an ended pod's record and the end of its
// sandbox must not leave the pod with a sandbox until it is deleted.
func TestRestoreReleases(t *testing.T) {
	for name, assigned := range map[string]bool{"with its pool name": false, "with its pod's name": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
				config.Size = 1
				old := pool.New(config, host)
				stop := run(t, old)
				s := claim(t, old.Reserve(nil))
				if assigned {
					if err := old.Assign(t.Context(), s, "uid"); err != nil {
						t.Fatal(err)
					}
				}
				stop()
				restoredKeeping(t, host, config, map[string]bool{s.Name: false})
				wantSame(t, "container", slices.Contains(host.Names(), s.Name), false)
				wantSame(t, "container of the pod", host.IDOf(sandbox.AssignedName("uid")), "")
				wantSame(t, "network", slices.Contains(host.NetworkNames(), sandbox.NetworkName(s.Name)), false)
				if _, err := os.Stat(s.PodDir()); err != nil {
					t.Errorf("the folder of an ended pod: %v", err)
				}
			})
		})
	}
}

func TestRebookStartsAnew(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
		config.Size = 1
		name := fill(t, host, config)[0]
		before := host.IDOf(name)
		p := pool.New(config, host)
		defer p.Close()
		p.Keep(map[string]bool{name: true})
		s := claim(t, p.Rebook(name, nil))
		if s.Name != name || s.ID == before {
			t.Errorf("Rebook() got %s in container %s, want %s in a new one", s.Name, s.ID, name)
		}
		wantSame(t, "containers", host.Names(), []string{name})
		wantSame(t, "known", p.Knows(name), true)
	})
}

func TestCheckInstance(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
		config.Subnets = []netip.Prefix{netip.MustParsePrefix("10.9.0.0/27")}
		config.Size = 1
		fill(t, host, config)
		p := pool.New(config, host)
		defer p.Close()
		if err := p.CheckInstance(t.Context()); err != nil {
			t.Fatalf("CheckInstance() of one's own: %v", err)
		}
		s := claim(t, p.Reserve(nil))
		networks := map[string]bool{}
		for _, n := range host.Networks {
			networks[n.Subnet] = true
		}
		if len(networks) != 2 {
			t.Errorf("networks %v, want the earlier sandbox's and another one for %s", networks, s.Name)
		}
		moved := config
		moved.Dir = filepath.Join(config.Dir, "elsewhere", "sandboxes")
		err := pool.New(moved, host).CheckInstance(t.Context())
		if !errdefs.IsFailedPrecondition(err) || !strings.Contains(err.Error(), filepath.Dir(config.Dir)) ||
			!strings.Contains(err.Error(), `"test"`) {
			t.Errorf("CheckInstance() from another folder = %v, want one that names the instance and the other folder", err)
		}
		other := moved
		other.Instance = "another"
		if err := pool.New(other, host).CheckInstance(t.Context()); err != nil {
			t.Errorf("CheckInstance() of another instance: %v", err)
		}
	})
}

// TestRestoreLeavesAPodsSandbox: records may be missing because their folder is,
// and its pods run.
func TestRestoreLeavesAPodsSandbox(t *testing.T) {
	bubble(t, func(t *testing.T, host *sandboxtest.Fake, config pool.Config) {
		config.Size = 1
		old := pool.New(config, host)
		stop := run(t, old)
		s := claim(t, old.Reserve(nil))
		if err := old.Assign(t.Context(), s, "uid"); err != nil {
			t.Fatal(err)
		}
		stop()
		config.Size = 0
		p := pool.New(config, host)
		stop = restart(t, p)
		defer stop()
		advance(config.StrayGrace - time.Minute)
		if host.IDOf("uid_dind") == "" {
			t.Error("the sandbox of a pod without a record was removed at once")
		}
		if _, err := os.Stat(s.PodDir()); err != nil {
			t.Errorf("its folder: %v", err)
		}
		advance(3 * time.Minute)
		wantSame(t, "containers", host.Names(), []string(nil))
		wantSame(t, "folders", folders(t, config), 0)
	})
}
