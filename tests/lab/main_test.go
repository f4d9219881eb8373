package main

import (
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseArgs(t *testing.T) {
	tests := []struct {
		name  string
		args  []string
		want  options
		fails bool
	}{
		{name: "command", args: []string{"--", "go", "test", "-v"}, want: options{command: []string{"go", "test", "-v"}}},
		{name: "keep with a command", args: []string{"-keep", "--", "true"}, want: options{keep: true, command: []string{"true"}}},
		{name: "keep alone", args: []string{"-keep"}, want: options{keep: true, command: []string{}}},
		{name: "stop", args: []string{"-stop"}, want: options{stop: true, command: []string{}}},
		{name: "nothing", fails: true},
		{name: "stop with a command", args: []string{"-stop", "true"}, fails: true},
		{name: "stop and keep", args: []string{"-stop", "-keep"}, fails: true},
		{name: "unknown flag", args: []string{"-x"}, fails: true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := parseArgs(tt.args, io.Discard)
			if (err != nil) != tt.fails {
				t.Fatalf("error %v, want failure %t", err, tt.fails)
			}
			if diff := cmp.Diff(tt.want, got, cmp.AllowUnexported(options{})); diff != "" {
				t.Errorf("options (-want +got):\n%s", diff)
			}
		})
	}
}

func TestCommandEnv(t *testing.T) {
	set := imageSet{
		busybox: image{repo: "b", tag: "1"}, bash: image{repo: "s", tag: "2"},
		entry: image{repo: "e", tag: "3"}, sandbox: image{repo: "d", tag: "4"},
	}
	got := commandEnv([]string{"HOME=/root", "DOCKER_HOST=tcp://x:1", "DOCKER_CONTEXT=y", "DOCKER_SD_TEST_BASH=z", "DOCKER_SD_LAB_DIR=/d"},
		endpoint{"unix", "/s"}, set)
	want := []string{
		"HOME=/root", "DOCKER_SD_LAB_DIR=/d", "DOCKER_HOST=unix:///s", "DOCKER_SD_TEST_SANDBOX=d:4",
		"DOCKER_SD_TEST_BUSYBOX=b:1", "DOCKER_SD_TEST_BASH=s:2", "DOCKER_SD_TEST_ENTRY=e:3",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
}

func TestLastLines(t *testing.T) {
	for text, want := range map[string]string{"": "", "a\n": "a", "a\nb\nc\n": "b\nc"} {
		if got := lastLines(text, 2); got != want {
			t.Errorf("lastLines(%q, 2) = %q, want %q", text, got, want)
		}
	}
}
