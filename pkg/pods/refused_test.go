package pods

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/lifecycle"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/records"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// claims notes what pods are said to hold.
type claims struct {
	ailing
	held map[string]string
}

func (c *claims) Claim(uid string, held json.RawMessage) error {
	if held != nil {
		c.held[uid] = string(held)
	}
	return nil
}

// A record that is refused still tells which devices its pod may be using.
func TestDevicesOfRefusedRecords(t *testing.T) {
	c := &claims{held: map[string]string{}}
	m := New(Config{Dir: t.TempDir()}, nil, nil, c)
	if err := m.store.Open(); err != nil {
		t.Fatal(err)
	}
	for uid, file := range map[string]string{
		"newer":   `{"version":99,"checksum":"","record":{"devices":{"containers":{"c":["GPU-0"]}}}}`,
		"damaged": `{"version":1,"checksum":"bad","record":{"devices":{"containers":{"c":["GPU-1"]}}}}`,
		"ended":   `{"version":99,"record":{"devices":{"containers":{"c":["GPU-2"]}},"final":[]}}`,
		"none":    `{"version":99,"record":{}}`,
		"garbage": `{"version":1,"rec`,
	} {
		if err := os.WriteFile(recordPath(m.config.Dir, types.UID(uid)), []byte(file), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.Recover(t.Context(), func(map[string]bool) {}); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"newer": `{"containers":{"c":["GPU-0"]}}`, "damaged": `{"containers":{"c":["GPU-1"]}}`}
	if diff := cmp.Diff(want, c.held); diff != "" {
		t.Errorf("claimed (-want +got):\n%s", diff)
	}
}

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
		spoil   func(t *testing.T, s string, uid types.UID)
		want    string
		unknown bool
	}{
		"good":            {devices, func(*testing.T, string, types.UID) {}, devices, false},
		"cut":             {devices, cutRecord, devices, false},
		"emptied":         {devices, func(t *testing.T, s string, uid types.UID) { spoilFile(t, recordPath(s, uid), "") }, devices, false},
		"cut, no devices": {"", cutRecord, "", false},
		"both damaged": {devices, func(t *testing.T, s string, uid types.UID) {
			cutRecord(t, s, uid)
			spoilFile(t, heldPath(s, uid), "")
		}, "", true},
		"copy damaged": {devices, func(t *testing.T, s string, uid types.UID) { spoilFile(t, heldPath(s, uid), "{}") }, devices, false},
		"cut, of a run that kept no copy": {devices, func(t *testing.T, s string, uid types.UID) {
			cutRecord(t, s, uid)
			if err := os.RemoveAll(filepath.Join(s, "held")); err != nil {
				t.Fatal(err)
			}
		}, "", true},
		"of a newer version, of a run that kept no copy": {devices, func(t *testing.T, s string, uid types.UID) {
			file, err := os.ReadFile(recordPath(s, uid))
			if err != nil {
				t.Fatal(err)
			}
			newer := bytes.Replace(file, []byte(`"version":2`), []byte(`"version":99`), 1)
			if bytes.Equal(newer, file) {
				t.Fatalf("no version in %s", file)
			}
			spoilFile(t, recordPath(s, uid), string(newer))
			if err := os.RemoveAll(filepath.Join(s, "held")); err != nil {
				t.Fatal(err)
			}
		}, devices, false},
	} {
		t.Run(name, func(t *testing.T) {
			got := keeper{held: map[string]string{}, unknown: map[string]bool{}}
			m := New(Config{Dir: t.TempDir(), Tombstones: time.Hour}, stuck{}, nil, got)
			defer m.Close()
			// As an earlier run leaves it.
			if err := errors.Join(m.store.Open(), m.store.PruneDevices(nil)); err != nil {
				t.Fatal(err)
			}
			r := recordOf(plainPod())
			r.Sandbox, r.JID = "7a2c9b0e-4d1f-4f7a-9d6e-0123456789ab_dind", "7a2c9b0e-4d1f-4f7a-9d6e-0123456789ab_dind"
			// Being deleted and stuck, so that nothing of it runs here.
			r.Stage, r.Ended, r.Devices = lifecycle.StageRemoving, nil, json.RawMessage(c.devices)
			if c.devices == "" {
				r.Devices = nil
			}
			uid := r.Pod.UID
			if err := errors.Join(m.store.SaveDevices(uid, r.Devices), m.store.Save(r)); err != nil {
				t.Fatal(err)
			}
			c.spoil(t, m.config.Dir, uid)
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

func cutRecord(t *testing.T, s string, uid types.UID) {
	t.Helper()
	file, err := os.ReadFile(recordPath(s, uid))
	if err != nil {
		t.Fatal(err)
	}
	spoilFile(t, recordPath(s, uid), string(file[:len(file)/2]))
}

// recordOf is a record that an earlier run left.
func recordOf(pod *v1.Pod) *records.Record {
	return &records.Record{Pod: pod, Stage: lifecycle.StageAdmitted, Sandbox: "0d4f_dind", Since: time.Now()}
}

// The files of a pod in the data folder.
func recordPath(dir string, uid types.UID) string {
	return filepath.Join(dir, "records", string(uid)+".json")
}
func heldPath(dir string, uid types.UID) string {
	return filepath.Join(dir, "held", string(uid)+".json")
}
func tombstonePath(dir string, uid types.UID) string {
	return filepath.Join(dir, "tombstones", string(uid))
}
