package amend

import (
	"encoding/json"
	"errors"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// object is one of JSON, whose other fields stay as they are.
type object map[string]json.RawMessage

// amendSpec changes the description of a container (OCI runtime specification).
func amendSpec(text []byte, a initapi.Amendment) ([]byte, error) {
	spec, err := parseObject(text)
	if err != nil {
		return nil, err
	}
	if spec["process"], err = amendProcess(spec["process"], a); err != nil {
		return nil, err
	}
	if len(a.HugePages) > 0 {
		err = spec.in("linux", func(linux object) error {
			return linux.in("resources", func(resources object) error { return resources.set("hugepageLimits", limits(a)) })
		})
	}
	if err != nil {
		return nil, err
	}
	return json.Marshal(spec)
}

// amendProcess changes the description of a process.
func amendProcess(text []byte, a initapi.Amendment) ([]byte, error) {
	process, err := parseObject(text)
	if err != nil {
		return nil, err
	}
	if a.AppArmor != "" {
		if err := process.set("apparmorProfile", a.AppArmor); err != nil {
			return nil, err
		}
	}
	return json.Marshal(process)
}

// hugepageLimit is a bound as a runtime reads it.
type hugepageLimit struct {
	PageSize string `json:"pageSize"`
	Limit    int64  `json:"limit"`
}

func limits(a initapi.Amendment) []hugepageLimit {
	out := make([]hugepageLimit, 0, len(a.HugePages))
	for _, p := range a.HugePages {
		out = append(out, hugepageLimit{p.Size(), p.Bytes})
	}
	return out
}

func parseObject(text []byte) (object, error) {
	var out object
	if len(text) == 0 {
		return nil, errors.New("a part of it is missing")
	}
	err := json.Unmarshal(text, &out)
	if err == nil && out == nil {
		err = errors.New("a part of it is null")
	}
	return out, err
}

func (o object) set(name string, value any) error {
	text, err := json.Marshal(value)
	o[name] = text
	return err
}

// in changes a member that is an object, and makes it where it is missing.
func (o object) in(name string, change func(object) error) error {
	member := object{}
	if text := o[name]; len(text) > 0 && string(text) != "null" {
		if err := json.Unmarshal(text, &member); err != nil {
			return err
		}
	}
	if err := change(member); err != nil {
		return err
	}
	return o.set(name, member)
}
