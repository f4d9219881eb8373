package main

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func TestWriteRecords(t *testing.T) {
	data := t.TempDir()
	pods, err := recordedPods(3)
	if err != nil {
		t.Fatal(err)
	}
	if err := writeRecords(data, pods); err != nil {
		t.Fatal(err)
	}
	for _, pod := range pods {
		path := filepath.Join(data, "records", string(pod.UID)+".json")
		file, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var e envelope
		if err := json.Unmarshal(file, &e); err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(e.Record); e.Checksum != hex.EncodeToString(sum[:]) || e.Version != recordVersion {
			t.Errorf("envelope of %s: version %d, checksum %s does not match the record", pod.Name, e.Version, e.Checksum)
		}
		var r record
		if err := json.Unmarshal(e.Record, &r); err != nil {
			t.Fatal(err)
		}
		// Without a final status, or not placed, docker-sd would boot a sandbox for it.
		if r.Pod.UID != pod.UID || !r.Placed || len(r.Final) != len(pod.Spec.Containers) || r.Final[0].State.Terminated == nil {
			t.Errorf("record of %s is not that of a pod that has ended: %s", pod.Name, e.Record)
		}
	}
	if pods[0].UID == pods[1].UID || pods[0].Name == pods[1].Name {
		t.Error("two recorded pods are the same")
	}
}

func TestParseMemory(t *testing.T) {
	const rollup = "55d0-7ffd ---p 00000000 00:00 0    [rollup]\nRss:       1200 kB\nPss:   900 kB\n" +
		"Shared_Clean:  800 kB\nPrivate_Clean:  100 kB\nPrivate_Dirty:  300 kB\nSwap: 0 kB\n"
	got, err := parseMemory(bytes.NewBufferString(rollup))
	if want := (usage{resident: 1200, private: 400}); err != nil || got != want {
		t.Errorf("parseMemory = %+v, %v, want %+v", got, err, want)
	}
	if _, err := parseMemory(bytes.NewBufferString("Rss: many kB\n")); err == nil {
		t.Error("a line without a number was taken")
	}
}

func TestMegabytes(t *testing.T) {
	if got := megabytes(1_000_000); got != 1024 {
		t.Errorf("megabytes of a million KiB = %v, want 1024", got)
	}
}

func TestParseTicks(t *testing.T) {
	tests := []struct {
		name, stat string
		want       int64
		fails      bool
	}{
		{"plain", "12 (dockerd) S 1 12 12 0 -1 4194560 100 0 0 0 250 50 7 8 20 0 10 0", 300, false},
		{"name with a bracket and spaces", "12 (a) b (c) S 1 12 12 0 -1 4194560 100 0 0 0 3 4 7 8 20 0 10 0", 7, false},
		{"cut short", "12 (dockerd) S 1 12", 0, true},
		{"empty", "", 0, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseTicks(tt.stat)
			if got != tt.want || (err != nil) != tt.fails {
				t.Errorf("parseTicks = %d, %v, want %d, failure %v", got, err, tt.want, tt.fails)
			}
		})
	}
}

func TestSignals(t *testing.T) {
	s, err := newSignals(filepath.Join(t.TempDir(), "signals"))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	first, second := s.expect("first"), s.expect("second")
	before := time.Now()
	pipe, err := os.OpenFile(filepath.Join(s.dir, "started"), os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Fprint(pipe, "unknown\nsecond\nfirst\n"); err != nil {
		t.Fatal(err)
	}
	if err := pipe.Close(); err != nil {
		t.Fatal(err)
	}
	for name, wait := range map[string]<-chan time.Time{"first": first, "second": second} {
		at, err := await(ctx, name, wait)
		if err != nil {
			t.Fatal(err)
		}
		if at.Before(before) || at.After(time.Now()) {
			t.Errorf("%s started at %s, which is not now", name, at)
		}
	}
	ended, end := context.WithCancel(ctx)
	end()
	if _, err := await(ended, "nobody", s.expect("nobody")); !errors.Is(err, context.Canceled) {
		t.Errorf("await after the end of its context = %v, want canceled", err)
	}
	if err := s.close(); err != nil {
		t.Error(err)
	}
}

func TestGrow(t *testing.T) {
	var small, first, second bytes.Buffer
	w := tar.NewWriter(&small)
	if err := w.WriteHeader(&tar.Header{Name: "bin/sh", Mode: 0o755, Size: 5}); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(w, "shell"); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(grow(&first, small.Bytes(), 100), grow(&second, small.Bytes(), 100)); err != nil {
		t.Fatal(err)
	}
	if bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Error("two images are the same, the engine would know the second one's layer")
	}
	sizes := map[string]int64{}
	for in := tar.NewReader(&first); ; {
		header, err := in.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		sizes[header.Name] = header.Size
	}
	if len(sizes) != 2 || sizes["bin/sh"] != 5 || sizes["random"] != 100 {
		t.Errorf("files of the grown image: %v, want bin/sh of 5 and random of 100 bytes", sizes)
	}
	if err := grow(io.Discard, []byte("not a tar at all, but long enough to be looked at"), 1); err == nil {
		t.Error("a broken tar was taken")
	}
}

func TestRemoveRefusals(t *testing.T) {
	for code, gone := range map[int]bool{404: true, 409: true, 500: false} {
		if err := ignoreGone(fmt.Errorf("remove: %w", &refusal{code: code, text: "no"})); (err == nil) != gone {
			t.Errorf("a removal refused with %d gives %v, want success %v", code, err, gone)
		}
	}
}

func TestRepetitions(t *testing.T) {
	b := &bench{options: options{quick: true}}
	if got := b.times(3, 30); got != 3 {
		t.Errorf("quick repetitions = %d, want 3", got)
	}
	b.quick = false
	if got := b.times(3, 30); got != 30 {
		t.Errorf("full repetitions = %d, want 30", got)
	}
}

func TestParseWritten(t *testing.T) {
	if got, err := parseWritten("pgpgin 7\npgpgout 3\npswpin 0\n"); err != nil || got != 3072 {
		t.Errorf("parseWritten() = %v, %v", got, err)
	}
	if got, err := parseWritten("pgpgin 7\n"); err == nil {
		t.Errorf("parseWritten() without the line = %v", got)
	}
}

// TestSpentSince takes off what the machine does at rest.
func TestSpentSince(t *testing.T) {
	then := spent{at: time.Unix(0, 0), cpu: 5, written: 100}
	got := spent{at: time.Unix(10, 0), cpu: 8, written: 400}.since(then, spent{cpu: 0.1, written: 10})
	if want := (spent{cpu: 2, written: 200}); got != want {
		t.Errorf("since() = %+v, want %+v", got, want)
	}
}
