package records

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/interlink"
)

// FuzzRecord: what is read as a record names a pod whose files stay in its
// places, and stays what it is when it is written and read again.
func FuzzRecord(f *testing.F) {
	file, err := os.ReadFile("testdata/record-v1.json")
	if err != nil {
		f.Fatal(err)
	}
	var e envelope
	if err := json.Unmarshal(file, &e); err != nil {
		f.Fatal(err)
	}
	f.Add(file, true)
	f.Add([]byte(e.Record), false)
	f.Add([]byte(`{"pod":{"metadata":{"uid":"../../x"}}}`), false)
	f.Fuzz(func(t *testing.T, file []byte, whole bool) {
		if !whole { // the content of a file whose checksum is right
			if _, err := interlink.DecodeCreate(file); err != nil {
				return // a record is only written of what a create could be
			}
			file = []byte(sealed(recordVersion, string(file)))
		}
		r, err := Decode(file)
		if err != nil {
			return
		}
		s := New("/data")
		if filepath.Dir(s.RecordPath(r.Pod.UID)) != "/data/records" || filepath.Dir(s.tombstonePath(r.Pod.UID)) != "/data/tombstones" {
			t.Fatalf("a record whose file is %s", s.RecordPath(r.Pod.UID))
		}
		once, err := Encode(r)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		again, err := Decode(once)
		if err != nil {
			t.Fatalf("%s is written but not read: %v", once, err)
		}
		if twice, err := Encode(again); err != nil || !bytes.Equal(once, twice) {
			t.Fatalf("written once  %s\nwritten twice %s (%v)", once, twice, err)
		}
	})
}
