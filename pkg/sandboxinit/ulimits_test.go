package sandboxinit

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// TestFitUlimits: no flag asks for more than this process has, which the engine could give
// to no container.
func TestFitUlimits(t *testing.T) {
	var own unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &own); err != nil {
		t.Fatal(err)
	}
	most := int64(own.Max)
	asked := []string{"--bridge=none", "--default-ulimit=nofile=10:20", fmt.Sprintf("--default-ulimit=nofile=10:%d", uint64(1)<<62),
		"--default-ulimit=nofile=-1:-1", "--default-ulimit=nothing=1:1"}
	want := []string{"--bridge=none", "--default-ulimit=nofile=10:20", fmt.Sprintf("--default-ulimit=nofile=10:%d", most),
		fmt.Sprintf("--default-ulimit=nofile=%d:%d", most, most), "--default-ulimit=nothing=1:1"}
	file := filepath.Join(t.TempDir(), "daemon.json")
	if diff := cmp.Diff(want, fitUlimits(asked, file)); diff != "" {
		t.Errorf("without a file (-want +got):\n%s", diff)
	}
	for text, want := range map[string][]string{`{"debug": true}`: want, `{"default-ulimits": {}}`: {"--bridge=none"}} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, fitUlimits(asked, file)); diff != "" {
			t.Errorf("with the file %s (-want +got):\n%s", text, diff)
		}
	}
}
