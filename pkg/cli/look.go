package cli

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/containerd/errdefs"
	"github.com/spf13/cobra"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/admin"
)

// view is one kind of thing that a running docker-sd shows.
type view[T any] struct {
	use, short, long string
	get              func(*admin.Client, context.Context) (T, error)
	table            func(T, time.Time) table
	// state is the column in which a thing that has gone says so.
	state int
}

// watching says whether and how often to look again.
type watching struct {
	on       bool
	interval time.Duration
}

// minInterval keeps a watch from being a load.
const minInterval = 100 * time.Millisecond

// newLook makes the command that shows a view.
func newLook[T any](o *Options, v view[T]) *cobra.Command {
	var watch watching
	var format *string
	cmd := &cobra.Command{
		Use: v.use, Short: v.short, Args: cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
		Long: v.long + "\nIt asks the docker-sd that runs with the same configuration, over the socket " + admin.SocketName + " in\nits DataRootFolder.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			screen, err := NewScreen(cmd, o.Getenv, *format)
			if err != nil {
				return err
			}
			if watch.interval < minInterval {
				return fmt.Errorf("--interval is %s: it is %s or longer", watch.interval, minInterval)
			}
			settings, _, err := o.Load()
			if err != nil {
				return err
			}
			client := admin.NewClient(settings.DataRootFolder)
			defer client.Close()
			ask := func(ctx context.Context) (T, error) { return v.get(client, ctx) }
			return show(cmd.Context(), screen, ask, v, watch)
		},
	}
	format = OutputFlag(cmd)
	cmd.Flags().BoolVarP(&watch.on, "watch", "w", false, "go on looking: a terminal is drawn anew, elsewhere changes are appended")
	cmd.Flags().DurationVar(&watch.interval, "interval", 2*time.Second, "time between two looks with --watch")
	return cmd
}

// show prints a view once, or until ctx ends.
func show[T any](ctx context.Context, s Screen, ask func(context.Context) (T, error), v view[T], watch watching) error {
	seen, first := table{}, true
	return follow(ctx, s, watch, ask, func(value T) error {
		now := v.table(value, time.Now())
		err := draw(s, value, now, seen, drawing{first: first, watch: watch.on, state: v.state})
		seen, first = now, false
		return err
	})
}

// follow asks docker-sd and writes its answer, once or until ctx ends. A docker-sd that is
// away for a while, for an upgrade say, does not end a watch.
func follow[T any](ctx context.Context, s Screen, watch watching, ask func(context.Context) (T, error), write func(T) error) error {
	value, err := ask(ctx)
	if err != nil {
		return err
	}
	for trouble := ""; ; {
		switch {
		case err == nil:
			trouble = ""
			if err := write(value); err != nil {
				return err
			}
		case err.Error() != trouble:
			trouble = err.Error()
			if err := complain(s, trouble); err != nil {
				return err
			}
		}
		if !watch.on {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(watch.interval):
		}
		if value, err = ask(ctx); ctx.Err() != nil {
			return nil
		}
		if errdefs.IsPermissionDenied(err) {
			return err
		}
	}
}

// drawing says how a view is printed.
type drawing struct {
	first, watch bool
	state        int
}

// draw prints a view: all of it at first and on a terminal, then only what has changed.
func draw(s Screen, value any, now, before table, how drawing) error {
	changed := now.changes(before, how.state)
	quiet := !how.first && len(changed.rows) == 0 && len(changed.footer) == 0
	switch {
	case s.JSON && quiet:
		return nil
	case s.JSON:
		return s.PrintJSON(value, how.watch)
	case !how.watch:
		return now.write(s.Out, true)
	case s.terminal:
		if _, err := io.WriteString(s.Out, wipe); err != nil {
			return err
		}
		return now.write(s.Out, true)
	}
	return changed.write(s.Out, how.first)
}

// complain shows during a watch why nothing new can be shown.
func complain(s Screen, trouble string) error {
	if s.JSON {
		return s.PrintJSON(map[string]string{"error": trouble}, true)
	}
	_, err := fmt.Fprintln(s.Out, s.Paint(Red, strings.Join(Plain([]string{trouble}), "")))
	return err
}
