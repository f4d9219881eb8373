package pods

import (
	"encoding/json"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/lifecycle"
	"k8s.io/apimachinery/pkg/types"
)

// keeper writes down what is claimed.
type keeper struct {
	ailing
	held    map[string]string
	unknown map[string]bool
}

func (c keeper) Claim(uid string, held json.RawMessage) error {
	if len(held) > 0 && !json.Valid(held) {
		return errors.New("damaged")
	}
	c.held[uid] = string(held)
	return nil
}

func (c keeper) ClaimUnknown(uid string) { c.unknown[uid] = true }
func (c keeper) Release(uid string)      { delete(c.held, uid); delete(c.unknown, uid) }

// TestRefusedPodKeepsItsDevices: however a record is damaged, what its pod holds is
// given to nobody else while the pod is not deleted.
func TestRefusedPodKeepsItsDevices(t *testing.T) {
	const devices = `{"containers":{"main":["GPU-1"]}}`
	for name, c := range map[string]struct {
		devices string
		spoil   func(t *testing.T, s store, uid types.UID)
		want    string
		unknown bool
	}{
		"good":            {devices, func(*testing.T, store, types.UID) {}, devices, false},
		"cut":             {devices, cutRecord, devices, false},
		"emptied":         {devices, func(t *testing.T, s store, uid types.UID) { spoilFile(t, s.recordPath(uid), "") }, devices, false},
		"cut, no devices": {"", cutRecord, "", false},
		"both damaged": {devices, func(t *testing.T, s store, uid types.UID) {
			cutRecord(t, s, uid)
			spoilFile(t, s.heldPath(uid), "")
		}, "", true},
		"copy damaged": {devices, func(t *testing.T, s store, uid types.UID) { spoilFile(t, s.heldPath(uid), "{}") }, devices, false},
		"cut, of a run that kept no copy": {devices, func(t *testing.T, s store, uid types.UID) {
			cutRecord(t, s, uid)
			if err := os.RemoveAll(s.heldDir.path); err != nil {
				t.Fatal(err)
			}
		}, "", true},
		"of a newer version, of a run that kept no copy": {devices, func(t *testing.T, s store, uid types.UID) {
			file, err := os.ReadFile(s.recordPath(uid))
			if err != nil {
				t.Fatal(err)
			}
			var e envelope
			if err := json.Unmarshal(file, &e); err != nil {
				t.Fatal(err)
			}
			e.Version = 99
			if file, err = json.Marshal(e); err != nil {
				t.Fatal(err)
			}
			spoilFile(t, s.recordPath(uid), string(file))
			if err := os.RemoveAll(s.heldDir.path); err != nil {
				t.Fatal(err)
			}
		}, devices, false},
	} {
		t.Run(name, func(t *testing.T) {
			got := keeper{held: map[string]string{}, unknown: map[string]bool{}}
			m := New(Config{Dir: t.TempDir(), Tombstones: time.Hour}, stuck{}, nil, got)
			defer m.Close()
			// As an earlier run leaves it.
			if err := errors.Join(m.store.open(), makeFolder(m.store.heldDir.path)); err != nil {
				t.Fatal(err)
			}
			r := fullRecord()
			r.Sandbox, r.JID = "7a2c9b0e-4d1f-4f7a-9d6e-0123456789ab_dind", "7a2c9b0e-4d1f-4f7a-9d6e-0123456789ab_dind"
			// Being deleted and stuck, so that nothing of it runs here.
			r.Stage, r.Ended, r.Devices = lifecycle.StageRemoving, nil, json.RawMessage(c.devices)
			if c.devices == "" {
				r.Devices = nil
			}
			uid := r.Pod.UID
			if err := errors.Join(m.store.hold(uid, r.Devices), m.store.save(r)); err != nil {
				t.Fatal(err)
			}
			c.spoil(t, m.store, uid)
			if err := m.Recover(t.Context(), func(map[string]bool) {}); err != nil {
				t.Fatal(err)
			}
			if got.held[string(uid)] != c.want || got.unknown[string(uid)] != c.unknown {
				t.Errorf("claimed %q, unknown %v; want %q, %v", got.held[string(uid)], got.unknown[string(uid)], c.want, c.unknown)
			}
		})
	}
}

func spoilFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func cutRecord(t *testing.T, s store, uid types.UID) {
	t.Helper()
	file, err := os.ReadFile(s.recordPath(uid))
	if err != nil {
		t.Fatal(err)
	}
	spoilFile(t, s.recordPath(uid), string(file[:len(file)/2]))
}

func TestHeld(t *testing.T) {
	s := openStore(t)
	if err := errors.Join(s.hold("a", json.RawMessage(`{"x":1}`)), s.hold("b", json.RawMessage(`{"y":2}`)), s.hold("c", nil)); err != nil {
		t.Fatal(err)
	}
	if err := s.dropHeld(map[types.UID]bool{"a": true}); err != nil {
		t.Fatal(err)
	}
	for uid, want := range map[types.UID]string{"a": `{"x":1}`, "b": "", "c": ""} {
		if got, err := s.held(uid); err != nil || string(got) != want {
			t.Errorf("held(%s) = %q, %v", uid, got, err)
		}
	}
	for range 2 {
		if err := s.letGo("a"); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := s.held("a"); err != nil || got != nil {
		t.Errorf("held after letGo = %q, %v", got, err)
	}
}
