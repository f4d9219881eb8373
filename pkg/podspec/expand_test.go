package podspec

import (
	"testing"
)

// TestExpand follows the documentation of command, args and env in the
// Kubernetes API.
func TestExpand(t *testing.T) {
	known := map[string]string{"A": "a", "EMPTY": "", "REF": "$(A)", "a.b-c": "dotted", "$": "dollar", "UTF": "\u00e4\u20ac"}
	lookup := func(name string) (string, bool) {
		value, ok := known[name]
		return value, ok
	}
	for name, c := range map[string]struct{ in, want string }{
		"nothing":                       {"", ""},
		"no reference":                  {"plain 'text' \"`\\", "plain 'text' \"`\\"},
		"one":                           {"$(A)", "a"},
		"between others":                {"x$(A)y$(A)z", "xayaz"},
		"empty value":                   {"<$(EMPTY)>", "<>"},
		"unknown stays":                 {"$(NO) $(A)", "$(NO) a"},
		"value is not expanded again":   {"$(REF)", "$(A)"},
		"name with dots":                {"$(a.b-c)", "dotted"},
		"name that is a dollar":         {"$($)", "dollar"},
		"escaped":                       {"$$(A)", "$(A)"},
		"escaped twice":                 {"$$$$(A)", "$$(A)"},
		"escape and reference":          {"$$$(A)", "$a"},
		"two dollars":                   {"$$", "$"},
		"three dollars":                 {"$$$", "$$"},
		"dollar at the end":             {"5$", "5$"},
		"two dollars before text":       {"$$A", "$A"},
		"shell variable":                {"$A ${A} $1", "$A ${A} $1"},
		"command substitution of words": {"$(cat file)", "$(cat file)"},
		"not closed":                    {"$(A", "$(A"},
		"not closed before another":     {"$(NO $(A)", "$(NO $(A)"},
		"not closed after another":      {"$(A) $(", "a $("},
		"empty name":                    {"$()", "$()"},
		"nested":                        {"$($(A))", "$($(A))"},
		"double parentheses":            {"$((A))", "$((A))"},
		"backslash is no escape":        {`\$(A)`, `\a`},
		"newlines":                      {"$(A)\n$(A)\n", "a\na\n"},
		"letters of several bytes":      {"\u00e4$(UTF)$\u00e4", "\u00e4\u00e4\u20ac$\u00e4"},
		"bytes that are no letters":     {"\xff$(A)$\xfe", "\xffa$\xfe"},
	} {
		t.Run(name, func(t *testing.T) {
			if got := expand(c.in, lookup); got != c.want {
				t.Errorf("expand(%q) = %q, want %q", c.in, got, c.want)
			}
		})
	}
}

func TestExpandStrict(t *testing.T) {
	env := Environment{values: map[string]string{"A": "v"}}
	if got, err := env.ExpandStrict("x/$(A)/$$(B)"); err != nil || got != "x/v/$(B)" {
		t.Errorf("got %q, %v", got, err)
	}
	got, err := env.ExpandStrict("x/$(B)/$(A)")
	if want := `variable B is not defined in the container`; err == nil || err.Error() != want || got != "" {
		t.Errorf("got %q, %v, want the error %q", got, err, want)
	}
}
