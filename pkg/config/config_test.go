package config_test

import (
	"runtime"
	"testing"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
)

func TestDefault_IsValid(t *testing.T) {
	if err := config.Default().Validate(); err != nil {
		t.Fatal(err)
	}
}

func TestConfig_SandboxImageName(t *testing.T) {
	for _, tt := range []struct {
		name  string
		image string
		gpu   bool
		want  string
	}{
		{"default", "", false, "docker:dind"},
		{"GPU", "", true, "ghcr.io/extrality/nvidia-dind"},
		{"configured", "example.org/dind:1", false, "example.org/dind:1"},
		{"configured with GPU", "example.org/dind:1", true, "example.org/dind:1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := config.Default()
			cfg.SandboxImage, cfg.GPUEnabled = tt.image, tt.gpu
			if got := cfg.SandboxImageName(); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestConfig_BootParallel(t *testing.T) {
	cfg := config.Default()
	if got, want := cfg.BootParallel(), 2*runtime.NumCPU(); got != want {
		t.Errorf("default: got %d, want %d", got, want)
	}
	cfg.SandboxBootParallel = 7
	if got := cfg.BootParallel(); got != 7 {
		t.Errorf("configured: got %d, want 7", got)
	}
}

func TestConfig_Holders(t *testing.T) {
	for _, tt := range []struct {
		name                        string
		warm, parallel, ahead, want int
	}{
		{"by the pool", 2, 4, -1, 2},
		{"by the boots at once", 10, 4, -1, 4},
		{"nothing kept warm", 0, 4, -1, 0},
		{"none", 10, 4, 0, 0},
		{"as set", 0, 1, 7, 7},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := config.Default()
			cfg.AvailableDinds, cfg.SandboxBootParallel, cfg.NetworkHolders = tt.warm, tt.parallel, tt.ahead
			if got := cfg.Holders(); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
}

func TestConfig_Standbys(t *testing.T) {
	for _, tt := range []struct {
		name                      string
		warm, standing, max, want int
	}{
		{"default", 2, -1, 110, 8},
		{"by the pool", 10, -1, 110, 40},
		{"not more than pods", 10, -1, 30, 20},
		{"more warm ones than pods", 10, -1, 4, 0},
		{"no pool", 0, -1, 110, 0},
		{"set", 2, 5, 110, 5},
		{"none", 2, 0, 110, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := config.Default()
			cfg.AvailableDinds, cfg.StandbySandboxes, cfg.MaxPods = tt.warm, tt.standing, tt.max
			if got := cfg.Standbys(); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
}

func TestConfig_LogLevel(t *testing.T) {
	for _, tt := range []struct {
		name                     string
		fileVerbose, fileErrors  bool
		flagVerbose, flagsErrors bool
		want                     string
	}{
		{"default", false, false, false, false, "info"},
		{"file verbose", true, false, false, false, "debug"},
		{"file errors only", false, true, false, false, "error"},
		{"file both", true, true, false, false, "debug"},
		{"flag verbose over file", false, true, true, false, "debug"},
		{"flag errors only over file", true, false, false, true, "error"},
		{"both flags", false, false, true, true, "debug"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := config.Default()
			cfg.VerboseLogging, cfg.ErrorsOnlyLogging = tt.fileVerbose, tt.fileErrors
			if got := cfg.WithFlags(tt.flagVerbose, tt.flagsErrors).LogLevel(); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
