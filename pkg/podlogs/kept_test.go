package podlogs

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
)

func TestReadArchive(t *testing.T) {
	stamp := func(second int) string {
		return time.Date(2026, 1, 2, 3, 4, second, 5, time.UTC).Format(time.RFC3339Nano) + " "
	}
	long := strings.Repeat("x", 200_000)
	path := filepath.Join(t.TempDir(), "c.log")
	kept := stamp(1) + "one\n" + stamp(2) + "two words\n" + stamp(3) + long + "\n" + stamp(4) + "\n" + stamp(5) + "unended"
	if err := os.WriteFile(path, []byte(kept), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name    string
		options engine.LogOptions
		want    string
	}{
		{"all", engine.LogOptions{}, "one\ntwo words\n" + long + "\n\nunended"},
		{"stamped", engine.LogOptions{Timestamps: true}, kept},
		{"tail 1 is the unended line", engine.LogOptions{Tail: 1}, "unended"},
		{"tail 3 has the long line whole", engine.LogOptions{Tail: 3}, long + "\n\nunended"},
		{"tail of more than there is", engine.LogOptions{Tail: 99}, "one\ntwo words\n" + long + "\n\nunended"},
		{"since, stamps not asked for", engine.LogOptions{Since: time.Date(2026, 1, 2, 3, 4, 4, 0, time.UTC)}, "\nunended"},
		{"since leaves out a long line whole", engine.LogOptions{Since: time.Date(2026, 1, 2, 3, 4, 4, 0, time.UTC), Tail: 9}, "\nunended"},
		{"since then tail", engine.LogOptions{Since: time.Date(2026, 1, 2, 3, 4, 2, 0, time.UTC), Tail: 1, Timestamps: true}, stamp(5) + "unended"},
		{"since the future", engine.LogOptions{Since: time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)}, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			var got bytes.Buffer
			if err := readArchive(path, test.options, &got); err != nil {
				t.Fatal(err)
			}
			if got.String() != test.want {
				t.Errorf("got %d bytes %.80q, want %d bytes %.80q", got.Len(), got.String(), len(test.want), test.want)
			}
		})
	}
	var got bytes.Buffer
	if err := readArchive(path+".none", engine.LogOptions{}, &got); err != nil || got.Len() > 0 {
		t.Errorf("a container that never ran: %q, error %v", got.String(), err)
	}
}
