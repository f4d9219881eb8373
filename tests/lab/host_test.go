package main

import "testing"

func TestParseHost(t *testing.T) {
	tests := []struct {
		host  string
		want  endpoint
		fails bool
	}{
		{host: "unix:///var/run/docker.sock", want: endpoint{"unix", "/var/run/docker.sock"}},
		{host: "unix:///a/../b//docker.sock", want: endpoint{"unix", "/b/docker.sock"}},
		{host: "tcp://127.0.0.1:2375", want: endpoint{"tcp", "127.0.0.1:2375"}},
		{host: "tcp://[::1]:2375/", want: endpoint{"tcp", "[::1]:2375"}},
		{host: "unix://docker.sock", fails: true},
		{host: "unix://", fails: true},
		{host: "tcp://127.0.0.1", fails: true},
		{host: "tcp://:2375", fails: true},
		{host: "ssh://host", fails: true},
		{host: "/var/run/docker.sock", fails: true},
	}
	for _, tt := range tests {
		t.Run(tt.host, func(t *testing.T) {
			got, err := parseHost(tt.host)
			if (err != nil) != tt.fails {
				t.Fatalf("error %v, want failure %t", err, tt.fails)
			}
			if got != tt.want {
				t.Errorf("parseHost = %+v, want %+v", got, tt.want)
			}
		})
	}
}
