package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/google/renameio/v2"
	"github.com/spf13/cobra"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/cli"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/config"
)

// drainTaint keeps new pods away from a node whose host is to be worked on. Pods
// that run there stay.
var drainTaint = config.Taint{Key: "docker-sd.interlink/drain", Value: "true", Effect: "NoSchedule"}

// undrainPeriod is how long the taints are reported after the end of a drain.
// The caller leaves taints alone that are not reported (protocol 2.4), and asks
// every 30 s.
const undrainPeriod = 10 * time.Minute

const (
	drainOn  = "on\n"
	drainOff = "off\n"
)

// drainFile holds the wish. It is a file so that it outlives a restart, which is
// what most drains are for.
func drainFile(dataRootFolder string) string { return filepath.Join(dataRootFolder, "drain") }

// drained says that no new pods are wanted.
func drained(file string) bool {
	wish, err := os.ReadFile(file)
	return err == nil && string(wish) == drainOn
}

// withDrain gives the taints to report, nil for none to be touched, when those
// of the configuration are configured.
func withDrain(file string, configured []config.Taint, now time.Time) []config.Taint {
	info, err := os.Stat(file)
	if err != nil {
		return configured
	}
	switch {
	case drained(file):
		return append(append([]config.Taint{}, configured...), drainTaint)
	case configured == nil && now.Sub(info.ModTime()) < undrainPeriod:
		return []config.Taint{}
	}
	return configured
}

// newDrain is for operators: no new pods, for as long as wanted.
func newDrain(o *cli.Options) *cobra.Command {
	var off bool
	cmd := &cobra.Command{
		Use: "drain", Short: "Keep new pods away from this node, or with --off let them in again", Args: cobra.NoArgs,
		Long: "With its next ping, 30 s later at most, the node has room for no pods, and new ones stay Pending.\n" +
			"Pods that run stay. A virtual kubelet that sets the taints of a ping, which that of interLink 0.6.2\n" +
			"does not, puts the taint " + drainTaint.Key + ":" + drainTaint.Effect + " on the node as well. The taints that\n" +
			"interLink was configured with are replaced by those of PingTaints, so name there what the node\n" +
			"shall keep.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			settings, _, err := o.Load()
			if err != nil {
				return err
			}
			wish, said := drainOn, "no new pods are placed on this node from the next ping on"
			if off {
				wish, said = drainOff, "pods are placed on this node again from the next ping on"
			}
			if _, err := os.Stat(settings.DataRootFolder); errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("DataRootFolder %s is not there: is this the configuration that docker-sd runs with? %w", settings.DataRootFolder, err)
			}
			if err := renameio.WriteFile(drainFile(settings.DataRootFolder), []byte(wish), 0o600); err != nil {
				return fmt.Errorf("note the drain: %w", err)
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), said)
			return err
		},
	}
	cmd.Flags().BoolVar(&off, "off", false, "end the drain")
	return cmd
}
