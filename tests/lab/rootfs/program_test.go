package rootfs

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseLdd(t *testing.T) {
	tests := []struct {
		name, out string
		want      []string
		fails     bool
	}{
		{
			name: "one program",
			out: "\tlinux-vdso.so.1 (0x00007fbd)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x00007fbd)\n" +
				"\t/lib64/ld-linux-x86-64.so.2 (0x00007fbd)\n",
			want: []string{"/lib/x86_64-linux-gnu/libc.so.6", "/lib64/ld-linux-x86-64.so.2"},
		},
		{name: "static", out: "\tstatically linked\n"},
		{name: "missing library", out: "\tlibx.so.1 => not found\n", fails: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseLdd(tt.out)
			if (err != nil) != tt.fails {
				t.Fatalf("error %v, want failure %t", err, tt.fails)
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("libraries (-want +got):\n%s", diff)
			}
		})
	}
}

// The test binary may be static; a shell of the machine is not everywhere
// dynamic either, so only what holds in both cases is asked.
func TestLibraries(t *testing.T) {
	script := filepath.Join(t.TempDir(), "script")
	if err := os.WriteFile(script, []byte("#!/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	shell, err := filepath.EvalSymlinks("/bin/sh")
	if err != nil {
		t.Fatal(err)
	}
	got, err := Libraries(t.Context(), []string{script, shell})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range imports(shell) {
		has := func(path string) bool { return filepath.IsAbs(path) && filepath.Base(path) == name }
		if !slices.ContainsFunc(got, has) {
			t.Errorf("%s of %s is not in %v", name, shell, got)
		}
	}
	if alone, err := Libraries(t.Context(), []string{script}); err != nil || len(alone) > 0 {
		t.Errorf("a script needs %v, error %v", alone, err)
	}
}
