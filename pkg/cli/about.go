package cli

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/admin"
)

// about is what `docker-sd version` prints.
type about struct {
	Version  string `json:"version"`
	Commit   string `json:"commit,omitempty"`
	Modified bool   `json:"modified,omitempty"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
	// Tags of the build, and whether it was made with cgo, which NVML needs.
	Tags string `json:"tags,omitempty"`
	CGO  bool   `json:"cgo"`
	// Running is the docker-sd that runs with the same configuration; NotRunning
	// says why there is none.
	Running    *admin.Info `json:"running,omitempty"`
	NotRunning string      `json:"notRunning,omitempty"`
}

// built describes this program.
func built(version string) about {
	a := about{Version: version, Go: runtime.Version(), Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, _ := debug.ReadBuildInfo()
	if info == nil {
		return a
	}
	for _, s := range info.Settings {
		switch s.Key {
		case "vcs.revision":
			a.Commit = s.Value
		case "vcs.modified":
			a.Modified = s.Value == "true"
		case "-tags":
			a.Tags = s.Value
		case "CGO_ENABLED":
			a.CGO = s.Value == "1"
		}
	}
	return a
}

// newVersion makes the command version.
func newVersion(o *Options, version string) *cobra.Command {
	var format *string
	cmd := &cobra.Command{
		Use: "version", Short: "Print the version of this docker-sd and of the running one",
		Args: cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(cmd *cobra.Command, _ []string) error {
			screen, err := NewScreen(cmd, o.Getenv, *format)
			if err != nil {
				return err
			}
			a := built(version)
			if settings, _, err := o.Load(); err != nil {
				a.NotRunning = err.Error()
			} else {
				client := admin.NewClient(settings.DataRootFolder)
				defer client.Close()
				if info, err := client.Info(cmd.Context()); err != nil {
					a.NotRunning = err.Error()
				} else {
					a.Running = &info
				}
			}
			if screen.JSON {
				return screen.PrintJSON(a, false)
			}
			return a.table(time.Now()).write(screen.Out, false)
		},
	}
	format = OutputFlag(cmd)
	return cmd
}

// table is the same for people.
func (a about) table(now time.Time) table {
	commit := a.Commit
	if a.Modified {
		commit += " (modified)"
	}
	lines := [][]string{{"version", a.Version}, {"commit", commit}, {"go", a.Go + " " + a.Platform},
		{"build", fmt.Sprintf("cgo %t, tags %q", a.CGO, a.Tags)}}
	if r := a.Running; r != nil {
		lines = append(lines, []string{"running", fmt.Sprintf("%s as instance %s at %s for %s", r.Version, r.Instance, r.Address, Age(r.Started, now))},
			[]string{"engine", r.Engine})
	} else {
		lines = append(lines, []string{"running", a.NotRunning})
	}
	var t table
	for _, cells := range lines {
		t.rows = append(t.rows, row{cells: cells})
	}
	return t
}
