package nvml

import "testing"

func TestMIGProfile(t *testing.T) {
	tests := []struct {
		name            string
		slices, compute int
		memory, total   uint64
		want            string
	}{
		{"NVIDIA A100-SXM4-40GB MIG 1g.5gb", 1, 1, 4864, 40960, "1g.5gb"},
		{"NVIDIA A100-SXM4-40GB MIG 1c.3g.20gb", 3, 1, 19968, 40960, "1c.3g.20gb"},
		{"NVIDIA A100-SXM4-40GB MIG 1g.5gb+me", 1, 1, 4864, 40960, "1g.5gb+me"},
		{"", 1, 1, 4864, 40960, "1g.5gb"},
		{"", 7, 7, 80896, 81920, "7g.80gb"},
		{"", 3, 1, 40192, 81920, "1c.3g.40gb"},
		{"NVIDIA A100", 1, 1, 9728, 0, "1g.10gb"},
	}
	for _, tc := range tests {
		t.Run(tc.want, func(t *testing.T) {
			if got := migProfile(tc.name, tc.slices, tc.compute, tc.memory, tc.total); got != tc.want {
				t.Errorf("profile = %q, want %q", got, tc.want)
			}
		})
	}
	if got, want := migResource("1g.10gb+me"), "nvidia.com/mig-1g.10gb.me"; got != want {
		t.Errorf("resource = %q, want %q", got, want)
	}
}

func TestPCIBusID(t *testing.T) {
	for nvml, want := range map[string]string{
		"00000000:0F:00.0": "0000:0f:00.0",
		"00010000:01:00.0": "00010000:01:00.0",
		"0000:07:00.0":     "0000:07:00.0",
		"":                 "",
	} {
		if got := pciBusID(nvml); got != want {
			t.Errorf("pciBusID(%q) = %q, want %q", nvml, got, want)
		}
	}
}
