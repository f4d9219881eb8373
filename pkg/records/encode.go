package records

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podspec"
)

// recordVersion of the files; a newer one is refused with words.
const recordVersion = 2

// envelope is a file: its version, and what it holds with the SHA-256 of that.
type envelope struct {
	Version  int             `json:"version"`
	Checksum string          `json:"checksum"`
	Record   json.RawMessage `json:"record"`
}

// Encode returns what the file of a record has, its checksum included.
func Encode(r *Record) ([]byte, error) {
	body, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(body)
	return json.Marshal(envelope{Version: recordVersion, Checksum: hex.EncodeToString(sum[:]), Record: body})
}

// Decode reads what Encode returned, or what an earlier version wrote. The error says
// what is wrong with the file and what to do.
func Decode(file []byte) (*Record, error) {
	var e envelope
	if err := json.Unmarshal(file, &e); err != nil {
		return nil, fmt.Errorf("not a record: %w", err)
	}
	if e.Version > recordVersion {
		return nil, fmt.Errorf("written by a newer docker-sd (version %d, this one reads up to %d): upgrade again, or delete the pod", e.Version, recordVersion)
	}
	if sum := sha256.Sum256(e.Record); hex.EncodeToString(sum[:]) != e.Checksum {
		return nil, errors.New("damaged: its checksum does not match")
	}
	f := recordFile{}
	if err := json.Unmarshal(e.Record, &f); err != nil {
		return nil, fmt.Errorf("not a record: %w", err)
	}
	r := f.upgraded()
	if r.Pod == nil || podspec.ValidateIdentity(r.Pod) != nil {
		return nil, errors.New("damaged: it names no pod")
	}
	return r, nil
}
