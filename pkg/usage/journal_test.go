package usage

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// lines of an accounting file, each of which has to be one of JSON.
func lines(t *testing.T, path string) (out []Bill) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		var b Bill
		if err := json.Unmarshal([]byte(line), &b); err != nil {
			t.Errorf("line %q: %v", line, err)
		}
		out = append(out, b)
	}
	return out
}

// TestJournal: lines are appended, for the owner alone, also after the file was moved away.
func TestJournal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	j := journal{path}
	for _, uid := range []string{"one", "two"} {
		if err := j.write(Bill{UID: uid}); err != nil {
			t.Fatal(err)
		}
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if got := lines(t, path); len(got) != 2 || got[1].UID != "two" {
		t.Errorf("lines %+v", got)
	}
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := j.write(Bill{UID: "three"}); err != nil || len(lines(t, path)) != 1 || len(lines(t, path+".1")) != 2 {
		t.Errorf("after the file was moved: %v", err)
	}
	if err := (journal{}).write(Bill{}); err != nil {
		t.Errorf("without a file: %v", err)
	}
	if err := (journal{filepath.Join(path, "below")}).write(Bill{}); err == nil || !strings.Contains(err.Error(), "AccountingFile") {
		t.Errorf("a path that cannot be: %v", err)
	}
}

// TestTornLine: a line that a full disk has cut off spoils no other.
func TestTornLine(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	if err := os.WriteFile(path, []byte(`{"uid":"whole"}`+"\n"+`{"uid":"to`), 0o600); err != nil {
		t.Fatal(err)
	}
	j := journal{path}
	if err := j.write(Bill{UID: "next"}); err != nil {
		t.Fatal(err)
	}
	got, err := j.accounted()
	if diff := cmp.Diff(map[string]bool{"whole": true, "next": true}, got); diff != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, diff)
	}
}

// TestAccounted looks at the end of a long file only.
func TestAccounted(t *testing.T) {
	path := filepath.Join(t.TempDir(), "a")
	var text strings.Builder
	for i := 0; text.Len() < tailBytes+1000; i++ {
		fmt.Fprintf(&text, "{\"uid\":\"%d\",\"name\":%q}\n", i, strings.Repeat("x", 200))
	}
	text.WriteString(`{"uid":"last"}` + "\n")
	if err := os.WriteFile(path, []byte(text.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := journal{path}.accounted()
	if err != nil || !got["last"] || got["0"] || len(got) < 1000 {
		t.Errorf("%d pods, %v", len(got), err)
	}
	if got, err := (journal{path + "x"}).accounted(); err != nil || len(got) != 0 {
		t.Errorf("without the file: %v, %v", got, err)
	}
}
