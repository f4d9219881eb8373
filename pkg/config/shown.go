package config

import (
	"encoding/json"
	"fmt"
	"reflect"
	"time"
)

// Shown are the settings in effect, by key, as plain values: those of the file, of the
// environment and the defaults. Keys that have no effect are left out.
func Shown(c Config) (map[string]any, error) {
	without := map[string]bool{}
	for _, s := range unused() {
		without[s.key] = true
	}
	var settings []setting
	for _, s := range c.settings() {
		if !without[s.key] {
			settings = append(settings, s)
		}
	}
	return shown(settings)
}

func shown(settings []setting) (map[string]any, error) {
	out := map[string]any{}
	for _, s := range settings {
		var err error
		switch dst := s.dst.(type) {
		case nil:
		case []setting:
			out[s.key], err = shown(dst)
		case *time.Duration:
			out[s.key] = dst.String()
		default:
			out[s.key], err = jsonOf(reflect.ValueOf(dst).Elem().Interface())
		}
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

// jsonOf is a value as JSON has it.
func jsonOf(value any) (out any, err error) {
	text, err := json.Marshal(value)
	if err == nil {
		err = json.Unmarshal(text, &out)
	}
	if err != nil {
		return nil, fmt.Errorf("show the setting %T: %w", value, err)
	}
	return out, nil
}
