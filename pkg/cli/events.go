package cli

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/types"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/admin"
)

// newEvents makes the command events.
func newEvents(o *Options) *cobra.Command {
	var watch watching
	var format *string
	cmd := &cobra.Command{
		Use: "events [NAMESPACE/POD|UID]", Short: "List the last changes of state of pods and sandboxes", Args: cobra.MaximumNArgs(1),
		Long: "events lists the last changes of state, the oldest first: some hundred of them, since the last\n" +
			"start of docker-sd. The log has all. With a pod it lists those of the pod.",
		ValidArgsFunction: completePod(o),
		RunE: func(cmd *cobra.Command, args []string) error {
			screen, err := NewScreen(cmd, o.Getenv, *format)
			if err != nil {
				return err
			}
			if watch.interval < minInterval {
				return fmt.Errorf("--interval is %s: it is %s or longer", watch.interval, minInterval)
			}
			return o.events(cmd.Context(), screen, args, watch)
		},
	}
	format = OutputFlag(cmd)
	cmd.Flags().BoolVarP(&watch.on, "watch", "w", false, "go on listing what happens")
	cmd.Flags().DurationVar(&watch.interval, "interval", time.Second, "time between two looks with --watch")
	return cmd
}

// events lists the events, of one pod if args name it.
func (o *Options) events(ctx context.Context, screen Screen, args []string, watch watching) error {
	var of types.UID
	settings, _, err := o.Load()
	if err != nil {
		return err
	}
	if len(args) > 0 {
		client, pod, err := o.target(ctx, args[0])
		if err != nil {
			return err
		}
		client.Close()
		of = pod.UID
	}
	client := admin.NewClient(settings.DataRootFolder)
	defer client.Close()
	w := &eventWriter{screen: screen, of: of}
	return follow(ctx, screen, watch, client.Events, func(list admin.Events) error {
		if !watch.on && screen.JSON {
			list.Events = news(list, 0, of)
			return screen.PrintJSON(list, false)
		}
		return w.write(list)
	})
}

// news are the events after the one with that number, the oldest first; of a pod unless that
// is "".
func news(list admin.Events, after uint64, of types.UID) []admin.Event {
	out := []admin.Event{}
	for _, e := range slices.Backward(list.Events) {
		if e.Number > after && (of == "" || e.PodUID == of) {
			out = append(out, e)
		}
	}
	return out
}

// eventWriter prints each event once.
type eventWriter struct {
	screen Screen
	of     types.UID
	// last is the number of the newest event so far; begun says that there was a look.
	last  uint64
	begun bool
}

// write prints the events that are new. The numbers of a docker-sd that was started again
// begin anew.
func (w *eventWriter) write(list admin.Events) error {
	newest, oldest := uint64(0), uint64(0)
	if len(list.Events) > 0 {
		newest, oldest = list.Events[0].Number, list.Events[len(list.Events)-1].Number
	}
	if newest < w.last {
		w.last = 0
	}
	missed := w.begun && w.last > 0 && oldest > w.last+1
	fresh := news(list, w.last, w.of)
	head := !w.begun
	w.last, w.begun = newest, true
	if w.screen.JSON {
		for _, e := range fresh {
			if err := w.screen.PrintJSON(e, true); err != nil {
				return err
			}
		}
		return nil
	}
	t := table{head: []string{"TIME", "WHAT", "POD", "CONTAINER", "SANDBOX", "DETAIL"}}
	if missed {
		t.rows = append(t.rows, row{cells: []string{"", "more has happened than docker-sd keeps, see its log", "", "", "", ""}})
	}
	for _, e := range fresh {
		t.rows = append(t.rows, row{cells: eventCells(e)})
	}
	if head && len(fresh) == 0 {
		t.footer = []string{"no events"}
	}
	if !head && len(t.rows) == 0 {
		return nil
	}
	return t.write(w.screen.Out, head)
}

func eventCells(e admin.Event) []string {
	pod := ""
	if e.PodName != "" {
		pod = e.Namespace + "/" + e.PodName
	}
	return []string{e.Time.Local().Format(time.DateTime), e.What, pod, e.Container, e.Sandbox, e.Detail}
}
