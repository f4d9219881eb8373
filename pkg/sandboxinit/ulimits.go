package sandboxinit

import (
	"bytes"
	"os"
	"strings"

	"github.com/docker/go-units"
	"golang.org/x/sys/unix"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
)

// engineFile is where an image configures its engine.
const engineFile = "/etc/docker/daemon.json"

// fitUlimits lowers the limits among the engine's flags to those of this process. A sandbox
// may not raise them, and the engine would start no container that is to have more. The
// engine refuses the flags if its file has limits too; then the file's count.
func fitUlimits(flags []string, file string) []string {
	text, _ := os.ReadFile(file)
	configured := bytes.Contains(text, []byte(`"default-ulimits"`))
	var out []string
	for _, flag := range flags {
		value, limits := strings.CutPrefix(flag, initapi.UlimitFlag)
		switch {
		case !limits:
			out = append(out, flag)
		case !configured:
			out = append(out, initapi.UlimitFlag+fitUlimit(value))
		}
	}
	return out
}

// fitUlimit lowers one limit, NAME=SOFT:HARD. What cannot be read is the engine's to refuse.
func fitUlimit(text string) string {
	asked, err := units.ParseUlimit(text)
	if err != nil {
		return text
	}
	kind, err := asked.GetRlimit()
	if err != nil {
		return text
	}
	var own unix.Rlimit
	if err := unix.Getrlimit(kind.Type, &own); err != nil {
		return text
	}
	fit := units.Ulimit{Name: asked.Name, Hard: lower(asked.Hard, own.Max)}
	fit.Soft = lower(asked.Soft, uint64(fit.Hard))
	return fit.String()
}

// lower is the lesser of two limits; -1 is none, as it is in the kernel, where it is the
// largest number.
func lower(asked int64, own uint64) int64 { return int64(min(uint64(asked), own)) }
