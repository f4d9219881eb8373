package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/containerd/containerd/log"
	sd "github.com/coreos/go-systemd/v22/daemon"
)

// supervisor tells systemd how docker-sd is, see sd_notify(3). Its library reads
// NOTIFY_SOCKET and WATCHDOG_USEC by itself: they are how systemd speaks to a
// process and no settings. Without them nothing is said to anybody.
type supervisor struct {
	// alive fails when calls could not be answered.
	alive func(context.Context) error
	// status is a line for people.
	status func() string
}

// statusPeriod is how often people see a new line where nobody watches.
const statusPeriod = 30 * time.Second

// notify sends one state.
func (s supervisor) notify(ctx context.Context, state string) {
	if _, err := sd.SdNotify(false, state); err != nil {
		log.G(ctx).WithError(err).Warn("systemd could not be told of a change")
	}
}

// starting says what the start waits for.
func (s supervisor) starting(ctx context.Context) {
	s.notify(ctx, "STATUS=waiting for the Docker engine")
}

// ready says that calls are answered.
func (s supervisor) ready(ctx context.Context) {
	s.notify(ctx, sd.SdNotifyReady+"\nSTATUS="+s.status())
}

// stopping says that no new calls are taken.
func (s supervisor) stopping(ctx context.Context) {
	s.notify(ctx, sd.SdNotifyStopping+"\nSTATUS=draining; pods go on running")
}

// run feeds the watchdog for as long as calls are answered, until ctx ends.
// systemd kills and restarts a docker-sd that it does not hear of.
func (s supervisor) run(ctx context.Context) {
	watchdog, err := sd.SdWatchdogEnabled(false)
	if err != nil {
		log.G(ctx).WithError(err).Warn("systemd's watchdog is not fed: its settings cannot be read")
	}
	period := statusPeriod
	if watchdog > 0 {
		period = watchdog / 3
	}
	tick := time.NewTicker(period)
	defer tick.Stop()
	for {
		s.feed(ctx, period, watchdog > 0)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// feed sends one status line and, if systemd watches, the sign of life: not before the pods
// have answered, within period.
func (s supervisor) feed(ctx context.Context, period time.Duration, watched bool) {
	state := "STATUS=" + s.status()
	if watched {
		asked, cancel := context.WithTimeout(ctx, period)
		defer cancel()
		if err := s.alive(asked); err != nil {
			if ctx.Err() == nil {
				log.G(ctx).WithError(err).Error("calls are not answered; if that lasts, systemd restarts docker-sd")
			}
			return
		}
		state = sd.SdNotifyWatchdog + "\n" + state
	}
	s.notify(ctx, state)
}

// supervisor of this daemon. It is alive while its pods answer.
func (d *daemon) supervisor() supervisor {
	return supervisor{alive: d.server.Alive, status: d.summary}
}

// summary is the line that systemctl status shows.
func (d *daemon) summary() string {
	if troubles := d.observer.Troubles(); len(troubles) > 0 {
		return "in trouble: " + strings.Join(strings.Fields(troubles[0]), " ")
	}
	p := d.observer.Pool()
	return fmt.Sprintf("%d pods have a sandbox, %d of %d sandboxes wait warm", p.Claimed, p.Warm, p.Wanted)
}
