package config

// Colours says whether text for a terminal may be coloured: not where NO_COLOR is
// set to anything (no-color.org), nor on a terminal that calls itself dumb.
func Colours(getenv func(string) string) bool {
	return getenv("NO_COLOR") == "" && getenv("TERM") != "dumb"
}
