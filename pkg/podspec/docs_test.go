package podspec

import (
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write docs/pods.md anew")

// TestFieldTableInDocs keeps docs/pods.md what the code does:
// go test ./pkg/podspec -run FieldTableInDocs -update
func TestFieldTableInDocs(t *testing.T) {
	const path, mark = "../../docs/pods.md", "<!-- written by pkg/podspec -->\n"
	file, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	head, table, found := strings.Cut(string(file), mark)
	if !found {
		t.Fatalf("%s has no line %q", path, mark)
	}
	if *update {
		if err := os.WriteFile(path, []byte(head+mark+FieldTable()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if table != FieldTable() {
		t.Errorf("%s is not what the code does: go test ./pkg/podspec -run FieldTableInDocs -update", path)
	}
}
