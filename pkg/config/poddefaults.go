package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/docker/go-units"
)

// PodDefaults are what pods get that do not ask for it themselves.
type PodDefaults struct {
	// Limits and Requests of each container, quantities by the names of resources, as the
	// default and defaultRequest of a LimitRange.
	Limits, Requests Amounts
	// Ulimits of a sandbox, which its containers inherit, as docker run --ulimit takes them.
	Ulimits Amounts
	// ShmBytes is the size of /dev/shm, 0 for the engine's.
	ShmBytes int64
	// HTTPProxy, HTTPSProxy and NoProxy are the variables of these names; "" sets none.
	HTTPProxy, HTTPSProxy, NoProxy string
	// TimeZone is one by its name of the IANA, or HostTimeZone; "" leaves it to the images.
	TimeZone string
	// CACertificates is a file with certificates that containers trust beside those of their
	// images; absolute and cleaned, or "".
	CACertificates string
}

// HostTimeZone stands for the host's.
const HostTimeZone = "host"

// zoneName is a name of a file below the folder of zones.
var zoneName = regexp.MustCompile(`^[A-Za-z0-9_+-]+(/[A-Za-z0-9_+-]+)*$`)

// Amounts are texts by name. The file may write them as numbers.
type Amounts map[string]string

func (p *PodDefaults) settings() []setting {
	return []setting{
		{key: "limits", dst: &p.Limits},
		{key: "requests", dst: &p.Requests},
		{key: "ulimits", dst: &p.Ulimits},
		{key: "shmSize", dst: (*byteCount)(&p.ShmBytes)},
		{key: "httpProxy", dst: &p.HTTPProxy},
		{key: "httpsProxy", dst: &p.HTTPSProxy},
		{key: "noProxy", dst: &p.NoProxy},
		{key: "timeZone", dst: &p.TimeZone},
		{key: "caCertificates", dst: &p.CACertificates},
	}
}

// amounts stores a mapping whose values are single. An empty one replaces the default.
func amounts(key string, raw json.RawMessage, dst *Amounts) error {
	var values map[string]json.RawMessage
	if json.Unmarshal(raw, &values) != nil || values == nil {
		return invalidRaw(key, raw, "a mapping of names to amounts")
	}
	*dst = Amounts{}
	for _, name := range slices.Sorted(maps.Keys(values)) {
		value := values[name]
		if value[0] == '{' || value[0] == '[' || string(value) == "null" {
			return invalidRaw(key+"."+name, value, "a single value")
		}
		(*dst)[name] = strings.TrimSpace(plain(value))
	}
	return nil
}

// leastMemory is that of a container's limit.
const leastMemory = 6 << 20

func (p PodDefaults) validate() error {
	for _, key := range []string{"limits", "requests"} {
		list := map[string]Amounts{"limits": p.Limits, "requests": p.Requests}[key]
		for _, name := range slices.Sorted(maps.Keys(list)) {
			at := "PodDefaults." + key
			if !slices.Contains([]string{"cpu", "memory", "ephemeral-storage"}, name) {
				return invalid(at, name, "cpu, memory or ephemeral-storage")
			}
			amount, ok := parseQuantity(list[name])
			if !ok || amount.Sign() <= 0 {
				return invalid(at+"."+name, list[name], capacityRule)
			}
			if limit, _ := parseQuantity(p.Limits[name]); key == "requests" && p.Limits[name] != "" && amount.Cmp(limit) > 0 {
				return invalid(at+"."+name, list[name], "no more than the limit, "+p.Limits[name])
			}
			if key == "limits" && name == "memory" && amount.CmpInt64(leastMemory) < 0 {
				return invalid(at+"."+name, list[name], "at least 6Mi, which a container needs")
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(p.Ulimits)) {
		if _, err := units.ParseUlimit(name + "=" + p.Ulimits[name]); err != nil {
			return invalid("PodDefaults.ulimits", name+": "+p.Ulimits[name], `the name of a limit of docker run --ulimit, and a number or "SOFT:HARD"`)
		}
	}
	for _, key := range []string{"httpProxy", "httpsProxy"} {
		text := map[string]string{"httpProxy": p.HTTPProxy, "httpsProxy": p.HTTPSProxy}[key]
		if at, err := url.Parse(text); text != "" && (err != nil || at.Host == "" || at.Scheme == "") {
			return invalid("PodDefaults."+key, text, "a URL such as http://proxy.example.org:3128")
		}
	}
	if p.TimeZone != "" && !zoneName.MatchString(p.TimeZone) {
		return invalid("PodDefaults.timeZone", p.TimeZone, "host, or a name such as Europe/Berlin")
	}
	if p.ShmBytes < 0 {
		return invalid("PodDefaults.shmSize", fmt.Sprint(p.ShmBytes), "a number of bytes such as 64Mi")
	}
	return nil
}
