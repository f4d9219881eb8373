package config

// Parse is Load without the file.
var Parse = parse

// Keys returns the keys of the file that have an effect, nested ones as
// "Capacity.cpu", and apart from them the keys that are accepted and ignored.
func Keys() (effective, ignored []string) {
	cfg := Default()
	without := map[string]bool{}
	for _, s := range unused() {
		without[s.key] = true
		ignored = append(ignored, s.key)
	}
	for _, s := range cfg.settings() {
		if without[s.key] {
			continue
		}
		effective = append(effective, s.key)
		if group, ok := s.dst.([]setting); ok {
			for _, nested := range group {
				effective = append(effective, s.key+"."+nested.key)
			}
		}
	}
	return effective, ignored
}

// Variables returns the environment variables that have an effect or are checked.
func Variables() []string {
	cfg := Default()
	var names []string
	for _, s := range cfg.settings() {
		if s.env != "" {
			names = append(names, s.env)
		}
	}
	return names
}

// Destinations returns where the settings of cfg are stored.
func Destinations(cfg *Config) []any {
	return destinations(cfg.settings())
}

func destinations(settings []setting) []any {
	var list []any
	for _, s := range settings {
		if group, ok := s.dst.([]setting); ok {
			list = append(list, destinations(group)...)
			continue
		}
		list = append(list, s.dst)
	}
	return list
}

// VariableOf gives the environment variable of each key that has one.
func VariableOf() map[string]string {
	cfg, out := Default(), map[string]string{}
	for _, s := range cfg.settings() {
		if s.env != "" {
			out[s.key] = s.env
		}
	}
	return out
}
