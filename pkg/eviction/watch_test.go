package eviction

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

const mib = 1 << 20

// host is a host with pods, in memory. What a pod has goes with it.
type host struct {
	folders, images Space
	users           []User
	// unused is what images give back when they are asked to, once.
	unused  int64
	mu      sync.Mutex
	evicted []string
	said    []string
	// sticky pods are never gone.
	sticky bool
	fails  error
}

func (h *host) DiskUsers(context.Context) []User { return h.users }

func (h *host) Evict(uid, message string) <-chan struct{} {
	h.mu.Lock()
	h.evicted, h.said = append(h.evicted, uid), append(h.said, message)
	h.mu.Unlock()
	gone := make(chan struct{})
	for i, u := range h.users {
		if u.UID == uid {
			h.folders.Free += u.Folder.Bytes
			h.images.Free += u.Data.Bytes
			h.folders.FreeInodes += u.Folder.Inodes
			h.users = append(h.users[:i:i], h.users[i+1:]...)
			break
		}
	}
	if !h.sticky {
		close(gone)
	}
	return gone
}

// ended are the pods that were evicted until now.
func (h *host) ended() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return slices.Clone(h.evicted)
}

func (h *host) watch(thresholds ...Threshold) *Watch {
	c := Config{Thresholds: thresholds, Pods: h, Folders: func() (Space, error) { return h.folders, h.fails }}
	if h.images.Bytes > 0 {
		c.Images = func() (Space, error) { return h.images, h.fails }
	}
	if h.unused > 0 {
		c.Reclaim = func(context.Context) error { h.folders.Free += h.unused; h.unused = 0; return nil }
	}
	return New(c)
}

// user has so many mebibytes in its folder and in its engine's data.
func user(uid string, folder, data, request int64) User {
	return User{UID: uid, Name: "pod-" + uid, Folder: Amount{Bytes: folder * mib, Inodes: folder}, Data: Amount{Bytes: data * mib, Inodes: data}, Request: request * mib}
}

func disk(device uint64, size, free int64) Space {
	return Space{Device: device, Bytes: size * mib, Free: free * mib, Inodes: 1000, FreeInodes: 900}
}

var (
	nodeTenth  = Threshold{Signal: "nodefs.available", Percent: 10}
	imageTenth = Threshold{Signal: "imagefs.available", Percent: 10, Images: true}
	nodeInodes = Threshold{Signal: "nodefs.inodesFree", Percent: 5, Inodes: true}
)

func TestRound(t *testing.T) {
	for name, c := range map[string]struct {
		host       *host
		thresholds []Threshold
		want       []string
		fails      string
		low        bool
	}{
		"room": {&host{folders: disk(1, 1000, 100), users: []User{user("a", 900, 0, 0)}}, []Threshold{nodeTenth}, nil, "", false},
		"low":  {&host{folders: disk(1, 1000, 99), users: []User{user("a", 100, 0, 0), user("b", 700, 0, 0)}}, []Threshold{nodeTenth}, []string{"b"}, "", true},
		"an amount": {&host{folders: disk(1, 1000, 99), users: []User{user("a", 100, 0, 0)}}, []Threshold{{Signal: "nodefs.available", Amount: 100 * mib}},
			[]string{"a"}, "", true},
		"most above its request": {&host{folders: disk(1, 1000, 50), users: []User{user("a", 300, 0, 0), user("b", 700, 0, 600)}}, []Threshold{nodeTenth}, []string{"a"}, "", true},
		"images go first":        {&host{folders: disk(1, 1000, 50), unused: 200 * mib, users: []User{user("a", 800, 0, 0)}}, []Threshold{nodeTenth}, nil, "", false},
		"images are not enough":  {&host{folders: disk(1, 1000, 50), unused: 20 * mib, users: []User{user("a", 800, 0, 0)}}, []Threshold{nodeTenth}, []string{"a"}, "", true},
		"others fill it": {&host{folders: disk(1, 1000, 50), users: []User{user("a", 5, 0, 0), user("b", 500, 0, 500)}}, []Threshold{nodeTenth}, nil,
			"no pod uses much above its request", true},
		"no pods":           {&host{folders: disk(1, 1000, 50)}, []Threshold{nodeTenth}, nil, "", true},
		"one disk for both": {&host{folders: disk(1, 1000, 50), images: disk(1, 1000, 50), users: []User{user("a", 300, 0, 0), user("b", 0, 400, 0)}}, []Threshold{nodeTenth}, []string{"b"}, "", true},
		"two disks": {&host{folders: disk(1, 1000, 50), images: disk(2, 1000, 900), users: []User{user("a", 300, 0, 0), user("b", 0, 400, 0)}}, []Threshold{nodeTenth, imageTenth},
			[]string{"a"}, "", true},
		"the other of two": {&host{folders: disk(1, 1000, 900), images: disk(2, 1000, 50), users: []User{user("a", 500, 0, 0), user("b", 0, 400, 0)}}, []Threshold{nodeTenth, imageTenth},
			[]string{"b"}, "", true},
		"images unseen": {&host{folders: disk(1, 1000, 50), users: []User{user("a", 300, 0, 0), user("b", 0, 400, 0)}}, []Threshold{imageTenth, nodeTenth}, []string{"b"}, "", true},
		"inodes": {&host{folders: Space{Device: 1, Bytes: 1000, Free: 900, Inodes: 1000, FreeInodes: 40}, users: []User{user("a", 300, 0, 0), user("b", 400, 0, 1000)}},
			[]Threshold{nodeTenth, nodeInodes}, []string{"b"}, "", true},
		"no number of inodes": {&host{folders: Space{Device: 1, Bytes: 1000, Free: 900}}, []Threshold{nodeInodes}, nil, "", false},
		"cannot be measured":  {&host{fails: errors.New("gone")}, []Threshold{nodeTenth}, nil, "gone", false},
	} {
		t.Run(name, func(t *testing.T) {
			w := c.host.watch(c.thresholds...)
			before := c.host.folders.Free < c.host.folders.Bytes/10 && c.host.folders.Bytes > 0
			if low, _ := w.Low(); before && low == "" {
				t.Error("a disk that is low is not told")
			}
			err := w.round(t.Context())
			if (err != nil) != (c.fails != "") || err != nil && !strings.Contains(err.Error(), c.fails) {
				t.Errorf("error %v, want %q", err, c.fails)
			}
			if diff := cmp.Diff(c.want, c.host.evicted); diff != "" {
				t.Errorf("evicted (-want +got):\n%s", diff)
			}
			if (w.Trouble() != "") != c.low {
				t.Errorf("trouble %q, want some: %v", w.Trouble(), c.low)
			}
		})
	}
}

// TestMessage has kubelet's words.
func TestMessage(t *testing.T) {
	u := User{Name: "p", Folder: Amount{70 * mib, 7000}, Data: Amount{50 * mib, 5}, Containers: []Container{{"c", 40 * mib, 0}, {"small", 40 * mib, 40 * mib}}}
	c := crossing{threshold: nodeTenth, want: 100 * mib, available: 99 * mib}
	for _, one := range []struct {
		c    crossing
		on   parts
		want string
	}{
		{c, parts{true, true}, "The node was low on resource: ephemeral-storage. Threshold quantity: 100Mi, available: 99Mi. " +
			"Container c was using 40Mi, request is 0, has larger consumption of ephemeral-storage."},
		{c, parts{folder: true}, "The node was low on resource: ephemeral-storage. Threshold quantity: 100Mi, available: 99Mi. " +
			"Pod p was using 70Mi, request is 0, has larger consumption of ephemeral-storage."},
		{crossing{threshold: nodeInodes, want: 50, available: 49}, parts{true, true}, "The node was low on resource: inodes. Threshold quantity: 50, available: 49. " +
			"Pod p was using 7005, request is 0, has larger consumption of inodes."},
	} {
		if diff := cmp.Diff(one.want, one.c.message(u, one.on)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	}
}

// TestRun: one pod goes after the other until there is room, and a disk that does
// not show it at once is given time.
func TestRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &host{folders: disk(1, 1000, 20), sticky: true, users: []User{user("a", 50, 0, 0), user("b", 60, 0, 0), user("c", 40, 0, 0)}}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
		defer cancel()
		began := time.Now()
		w := h.watch(nodeTenth)
		done := make(chan struct{})
		go func() { defer close(done); w.Run(ctx) }()
		time.Sleep(goneLimit - time.Second)
		synctest.Wait()
		if diff := cmp.Diff([]string{"b"}, h.ended()); diff != "" {
			t.Errorf("evicted within %s (-want +got):\n%s", time.Since(began), diff)
		}
		<-done
		if diff := cmp.Diff([]string{"b", "a"}, h.ended()); diff != "" {
			t.Errorf("evicted (-want +got):\n%s", diff)
		}
		if w.Trouble() != "" {
			t.Errorf("trouble %q after there is room", w.Trouble())
		}
	})
}

func TestSpaceOf(t *testing.T) {
	got, err := SpaceOf(t.TempDir())
	if err != nil || got.Bytes <= 0 || got.Free <= 0 || got.Free > got.Bytes {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := SpaceOf("/not/there"); err == nil {
		t.Error("a path that is not there has a disk")
	}
}
