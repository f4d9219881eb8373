package records

import (
	"encoding/json"
	"errors"
	"testing"

	"k8s.io/apimachinery/pkg/types"
)

// TestDevices: a copy is kept until it is removed, or its pod has no record.
func TestDevices(t *testing.T) {
	s := openStore(t)
	if err := errors.Join(s.SaveDevices("a", json.RawMessage(`{"x":1}`)), s.SaveDevices("b", json.RawMessage(`{"y":2}`)), s.SaveDevices("c", nil)); err != nil {
		t.Fatal(err)
	}
	if err := s.PruneDevices(map[types.UID]bool{"a": true}); err != nil {
		t.Fatal(err)
	}
	for uid, want := range map[types.UID]string{"a": `{"x":1}`, "b": "", "c": ""} {
		if got, err := s.Devices(uid); err != nil || string(got) != want {
			t.Errorf("held(%s) = %q, %v", uid, got, err)
		}
	}
	for range 2 {
		if err := s.RemoveDevices("a"); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := s.Devices("a"); err != nil || got != nil {
		t.Errorf("held after RemoveDevices = %q, %v", got, err)
	}
}
