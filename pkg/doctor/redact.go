package doctor

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/url"
	"os"
	"regexp"
	"slices"
	"strings"
)

const (
	removed = "(removed)"
	// isSet stands for a value that is nobody's business, though it is no secret.
	isSet = "(set)"
	// leastSecret is how long a secret is that is looked for in texts, in bytes: shorter ones
	// are words.
	leastSecret = 5
	// mostSecret bounds what is read of a file with a token.
	mostSecret = 16 << 10
)

// What a text has to lose whatever is known of the configuration.
var (
	userInURL  = regexp.MustCompile(`(://)[^/\s"'@]*@`)
	queryInURL = regexp.MustCompile(`(://[^\s"'?]+\?)[^\s"']+`)
	pem        = regexp.MustCompile(`(?s)-----BEGIN [A-Z ]+-----.*?(-----END [A-Z ]+-----|\z)`)
	bearer     = regexp.MustCompile(`(?i)\b(bearer|basic)\s+[A-Za-z0-9+/=._~-]{8,}`)
)

// Names of keys: of secrets, of addresses, and of files.
var (
	secretKey = regexp.MustCompile(`(?i)token|passw|secret|apikey|api_key|header|authori|credentials$`)
	address   = regexp.MustCompile(`(?i)proxy|url|endpoint|host|server|mirror|registr`)
	filePath  = regexp.MustCompile(`(?i)(file|filepath|path|directory|folder|root|CA)$`)
)

// redactor takes secrets out of texts: those that it has come to know, and what looks like one.
type redactor struct{ secrets map[string]bool }

func newRedactor() *redactor { return &redactor{map[string]bool{}} }

// learn has a secret removed wherever it occurs, also as JSON writes it.
func (r *redactor) learn(secret string) {
	if secret = strings.TrimSpace(secret); len(secret) < leastSecret {
		return
	}
	r.secrets[secret] = true
	if text, err := json.Marshal(secret); err == nil {
		r.secrets[strings.Trim(string(text), `"`)] = true
	}
}

// learnURL has the user and the password of a URL removed, and its query. The name of an image
// has an @ as well, and no scheme.
func (r *redactor) learnURL(key, text string) {
	_, rest, scheme := strings.Cut(text, "://")
	switch {
	case scheme:
	case address.MatchString(key):
		rest = text
	default:
		return
	}
	if at := strings.LastIndex(rest, "@"); at > 0 {
		user := rest[:at]
		r.learn(user)
		if _, password, _ := strings.Cut(user, ":"); password != "" {
			r.learn(password)
			if plain, err := url.PathUnescape(password); err == nil {
				r.learn(plain)
			}
		}
	}
	if _, query, found := strings.Cut(rest, "?"); found {
		r.learn(query)
	}
}

// learnFile has what a file with a token holds removed. It returns false where there is no
// such file.
func (r *redactor) learnFile(path string) bool {
	file, err := os.Open(path)
	if err != nil {
		return !errors.Is(err, fs.ErrNotExist)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, mostSecret))
	if err == nil {
		r.learn(string(text))
	}
	return true
}

// clean is a text without secrets.
func (r *redactor) clean(text string) string {
	// The longest first: one may be a part of another.
	known := slices.SortedFunc(maps.Keys(r.secrets), func(a, b string) int { return len(b) - len(a) })
	for _, secret := range known {
		text = strings.ReplaceAll(text, secret, removed)
	}
	text = pem.ReplaceAllString(text, removed)
	text = userInURL.ReplaceAllString(text, "${1}"+removed+"@")
	text = queryInURL.ReplaceAllString(text, "${1}"+removed)
	return bearer.ReplaceAllString(text, "${1} "+removed)
}

// settings are those in effect, without secrets; those are learned.
func (r *redactor) settings(shown map[string]any) map[string]any {
	out := map[string]any{}
	for key, value := range shown {
		out[key] = r.value(key, value, key == "PodDefaults")
	}
	return out
}

// value is that of a key. Texts in the defaults of pods are values of their variables.
func (r *redactor) value(key string, value any, ofPods bool) any {
	switch v := value.(type) {
	case map[string]any:
		out := map[string]any{}
		for name, item := range v {
			under := name
			if secretKey.MatchString(key) && !filePath.MatchString(key) {
				under = key // all below it is secret
			}
			out[name] = r.value(under, item, ofPods && !isHarmless(name))
		}
		return out
	case []any:
		out := make([]any, 0, len(v))
		for _, item := range v {
			out = append(out, r.value(key, item, ofPods))
		}
		return out
	case string:
		return r.text(key, v, ofPods)
	}
	if secretKey.MatchString(key) && !filePath.MatchString(key) {
		r.learn(fmt.Sprint(value))
		return removed
	}
	return value
}

// isHarmless tells the defaults of pods that are no variables: quantities, a zone, a path.
func isHarmless(key string) bool {
	return slices.Contains([]string{"limits", "requests", "ulimits", "shmSize", "timeZone", "caCertificates"}, key)
}

func (r *redactor) text(key, text string, ofPods bool) string {
	isFile, secret := filePath.MatchString(key), secretKey.MatchString(key)
	switch {
	case text == "":
		return ""
	case isFile && secret:
		if !r.learnFile(text) {
			r.learn(text) // the token itself, where the name of its file should be
		}
		return isSet
	case secret:
		r.learn(text)
		return removed
	case ofPods:
		r.learnURL(key, text)
		return isSet
	}
	r.learnURL(key, text)
	return r.clean(text)
}

// foreign learns all values of a file that are not among the settings in effect: they are of
// another program, or under a wrong name.
func (r *redactor) foreign(file any, known map[string]any) {
	values, ok := file.(map[string]any)
	if !ok {
		return
	}
	folded := map[string]any{}
	for key, value := range known {
		folded[strings.ToLower(key)] = value
	}
	for key, value := range values {
		settings, there := folded[strings.ToLower(key)]
		nested, _ := settings.(map[string]any)
		switch {
		case !there:
			r.learnAll(value)
		case len(nested) > 0:
			r.foreign(value, nested)
		}
	}
}

func (r *redactor) learnAll(value any) {
	switch v := value.(type) {
	case map[string]any:
		for _, item := range v {
			r.learnAll(item)
		}
	case []any:
		for _, item := range v {
			r.learnAll(item)
		}
	case nil, bool:
	default:
		text := fmt.Sprint(v)
		r.learnURL("", text)
		if len(text) >= leastForeign && !ordinary.MatchString(text) {
			r.learn(text)
		}
	}
}

// leastForeign is how long a value of another program is that is looked for in texts, in bytes.
const leastForeign = 8

// ordinary are words, paths and addresses: they occur in texts without having been told.
var ordinary = regexp.MustCompile(`^([a-z./:_-]+|(https?://)?\d+\.\d+\.\d+\.\d+(:\d+)?)$`)
