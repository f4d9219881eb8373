package config

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"k8s.io/apimachinery/pkg/api/resource"
)

const capacityRule = "a Kubernetes quantity above zero such as 4, 1500m or 64Gi"

const subnetRule = "an IPv4 range from /8 to /28 such as 10.200.0.0/16"

// formerKeys are keys of the file that have another name by now, in lower case. A file
// may use either name of a key, and not both.
var formerKeys = map[string]string{"gpuheededxids": "gpucriticalxids"}

// decoder moves JSON values to their destinations and collects warnings.
type decoder struct {
	warnings []string
}

// object applies the keys of a JSON object; path is the prefix of their names.
func (d *decoder) object(path string, raw json.RawMessage, settings []setting) error {
	var values map[string]json.RawMessage
	if err := json.Unmarshal(raw, &values); err != nil {
		return invalidRaw(strings.TrimSuffix(path, "."), raw, "a mapping of keys to values")
	}
	known := make(map[string]setting, len(settings))
	for _, s := range settings {
		known[strings.ToLower(s.key)] = s
	}
	written := make(map[string]string, len(values))
	for _, key := range slices.Sorted(maps.Keys(values)) {
		folded := strings.ToLower(key)
		if now, former := formerKeys[folded]; former && path == "" {
			folded = now
		}
		s, ok := known[folded]
		if !ok {
			d.warnings = append(d.warnings, fmt.Sprintf("unknown key %s in the configuration file is ignored", strconv.QuoteToASCII(path+key)))
			continue
		}
		if other, ok := written[folded]; ok {
			return fmt.Errorf("%s and %s are the same key, keep one of them: %w", path+other, path+key, errdefs.ErrInvalidArgument)
		}
		written[folded] = key
		if err := d.value(path+s.key, values[key], s.dst); err != nil {
			return err
		}
	}
	return nil
}

// value stores raw in dst. Null and the empty text keep what is there.
func (d *decoder) value(key string, raw json.RawMessage, dst any) error {
	if text := string(raw); text == "null" || text == `""` {
		return nil
	}
	switch dst := dst.(type) {
	case nil:
		return nil
	case []setting:
		return d.object(key+".", raw, dst)
	case *[]Taint:
		return objects(d, key, raw, dst, (*Taint).settings, "a list of taints, each with key, value and effect")
	case *[]SharedResource:
		if string(raw) == "[]" {
			return nil
		}
		return objects(d, key, raw, dst, (*SharedResource).settings, "a list of resources, each with name and replicas")
	case *[]Registry:
		return objects(d, key, raw, dst, (*Registry).settings, "a list of registries, each with name and mirrors, insecure or caFile")
	case *RuntimeClasses:
		return d.runtimeClasses(key, raw, dst)
	case *[]uint64:
		var numbers []uint64
		if json.Unmarshal(raw, &numbers) != nil {
			return invalidRaw(key, raw, "a list of whole numbers")
		}
		if len(numbers) > 0 {
			*dst = numbers
		}
	case *onlyOne:
		d.onlyOne(key, raw, dst)
		return nil
	case *[]string:
		var list []string
		if json.Unmarshal(raw, &list) != nil {
			return invalidRaw(key, raw, "a list of texts")
		}
		*dst = list
	case *map[string]string:
		var texts map[string]string
		if json.Unmarshal(raw, &texts) != nil {
			return invalidRaw(key, raw, "a mapping of texts to texts")
		}
		if len(texts) > 0 {
			*dst = texts
		}
	case *Amounts:
		return amounts(key, raw, dst)
	case *[]netip.Prefix:
		return prefixes(key, raw, dst)
	default:
		return scalar(key, raw, dst)
	}
	return nil
}

// scalar stores a single value. Numbers and booleans may be written as
// texts, which is how the environment and many existing files give them.
func scalar(key string, raw json.RawMessage, dst any) error {
	if raw[0] == '{' || raw[0] == '[' {
		return invalidRaw(key, raw, "a single value")
	}
	text := strings.TrimSpace(plain(raw))
	allowed := ""
	switch dst := dst.(type) {
	case *string:
		if raw[0] != '"' {
			allowed = "a text, in quotes"
		}
		*dst = plain(raw)
	case *textOrOff:
		*dst = textOrOff(plain(raw))
		switch {
		case string(raw) == "false":
			*dst = off
		case raw[0] != '"':
			allowed = "a text, in quotes, or off"
		}
	case *bool:
		switch text {
		case "true", "false":
			*dst = text == "true"
		default:
			allowed = "true or false"
		}
	case *int:
		number, err := strconv.Atoi(text)
		if err != nil {
			allowed = "a whole number"
		}
		*dst = number
	case *time.Duration:
		duration, err := time.ParseDuration(text)
		if err != nil {
			allowed = "a duration such as 90s, 5m or 1h"
		}
		*dst = duration
	case *byteCount:
		q, ok := parseQuantity(text)
		bytes, whole := q.AsInt64()
		if !ok || !whole {
			allowed = "a number of bytes such as 67108864, 100Mi or 1Gi"
		}
		*dst = byteCount(bytes)
	case *quantity:
		canonical, ok := parseCapacity(text)
		if !ok {
			allowed = capacityRule
		}
		*dst = quantity(canonical)
	default:
		return fmt.Errorf("%s: settings of type %T cannot be read: %w", key, dst, errdefs.ErrNotImplemented)
	}
	if allowed != "" {
		return invalidRaw(key, raw, allowed)
	}
	return nil
}

// parseCapacity returns a quantity above zero in canonical form.
func parseCapacity(text string) (canonical string, ok bool) {
	q, ok := parseQuantity(text)
	if !ok || q.Sign() <= 0 {
		return "", false
	}
	return q.String(), true
}

// parseQuantity refuses exponents of more than two digits and texts of more than
// 64 characters, which no resource needs and which resource.ParseQuantity takes
// seconds to round.
func parseQuantity(text string) (resource.Quantity, bool) {
	if len(text) > 64 {
		return resource.Quantity{}, false
	}
	if i := strings.LastIndexAny(text, "eE"); i >= 0 && len(text)-i > len("e-99") {
		return resource.Quantity{}, false
	}
	q, err := resource.ParseQuantity(text)
	return q, err == nil
}

func (d *decoder) onlyOne(key string, raw json.RawMessage, dst *onlyOne) {
	switch {
	case plain(raw) == "1" || string(raw) == "true":
		*dst = true
	case plain(raw) == "0" || string(raw) == "false":
		*dst = false
	default:
		*dst = false
		d.warnings = append(d.warnings, key+" is set to something else than 1 or 0, which means off")
	}
}

// objects stores a list of mappings.
func objects[T any](d *decoder, key string, raw json.RawMessage, dst *[]T, settings func(*T) []setting, allowed string) error {
	var items []json.RawMessage
	if json.Unmarshal(raw, &items) != nil {
		return invalidRaw(key, raw, allowed)
	}
	list := make([]T, len(items))
	for i, item := range items {
		if err := d.object(fmt.Sprintf("%s[%d].", key, i), item, settings(&list[i])); err != nil {
			return err
		}
	}
	*dst = list
	return nil
}

func prefixes(key string, raw json.RawMessage, dst *[]netip.Prefix) error {
	var texts []string
	if json.Unmarshal(raw, &texts) != nil {
		return invalidRaw(key, raw, "a list of IPv4 ranges such as 10.200.0.0/16")
	}
	var list []netip.Prefix
	for _, text := range texts {
		prefix, err := netip.ParsePrefix(strings.TrimSpace(text))
		if err != nil {
			return invalid(key, text, subnetRule)
		}
		list = append(list, prefix)
	}
	*dst = list
	return nil
}

// plain returns a JSON text without its quotes and anything else as it is written.
func plain(raw json.RawMessage) string {
	var text string
	if raw[0] == '"' && json.Unmarshal(raw, &text) == nil {
		return text
	}
	return string(raw)
}

// invalidRaw is invalid for a JSON value. Lists and mappings are not
// repeated: they are long, and what is in them is not known.
func invalidRaw(key string, raw json.RawMessage, allowed string) error {
	switch raw[0] {
	case '{':
		return &valueError{key: key, value: "a mapping", allowed: allowed}
	case '[':
		return &valueError{key: key, value: "this list", allowed: allowed}
	default:
		return invalid(key, plain(raw), allowed)
	}
}
