package probes_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/probes"
)

// script says how each probe answers: one letter per call, the last one for ever. s succeeds, f fails, u is an error
// of the engine, h hangs until its context ends.
type script map[probes.Kind]string

// play runs the probes of c for a length of fake time and returns what happened, with the time it happened at.
func play(t *testing.T, c *v1.Container, s script, length time.Duration, adjust func(*probes.Target)) []string {
	t.Helper()
	var trace []string
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var mu sync.Mutex // guards calls
		calls := map[string]int{}
		note := func(format string, args ...any) {
			trace = append(trace, fmt.Sprintf("%s %s", time.Since(begin), fmt.Sprintf(format, args...)))
		}
		tgt := target("10.0.0.1", func(ctx context.Context, argv []string, out io.Writer) (int, error) {
			letters := s[probes.Kind(argv[0])]
			mu.Lock()
			letter := letters[min(calls[argv[0]], len(letters)-1)]
			calls[argv[0]]++
			mu.Unlock()
			switch letter {
			case 's':
				return 0, nil
			case 'f':
				fmt.Fprint(out, "bad")
				return 1, nil
			case 'u':
				return 0, errors.New("engine is gone")
			default:
				<-ctx.Done()
				return 0, ctx.Err()
			}
		})
		tgt.Container = c
		if adjust != nil {
			adjust(&tgt)
		}
		ctx, cancel := context.WithTimeout(t.Context(), length)
		defer cancel()
		probes.Run(ctx, tgt, probes.Callbacks{
			Started: func(started bool) { note("started %v", started) },
			Ready:   func(ready bool) { note("ready %v", ready) },
			Event:   func(k probes.Kind, r probes.Result) { note("%s %s", k, r.Outcome) },
			Unhealthy: func(u probes.Unhealthy) {
				grace := "of the pod"
				if u.TerminationGracePeriodSeconds != nil {
					grace = fmt.Sprint(*u.TerminationGracePeriodSeconds)
				}
				note("unhealthy: %s; grace %s", u.Message, grace)
			},
		})
		note("end")
	})
	return trace
}

// probe builds the probe of a kind; the script recognises it by its command.
func probe(kind probes.Kind, change func(*v1.Probe)) *v1.Probe {
	p := execProbe(string(kind))
	if change != nil {
		change(p)
	}
	return p
}

func every(seconds int32) func(*v1.Probe) { return func(p *v1.Probe) { p.PeriodSeconds = seconds } }

func TestRun(t *testing.T) {
	grace := int64(7)
	tests := []struct {
		name   string
		c      v1.Container
		script script
		length time.Duration
		adjust func(*probes.Target)
		want   string
	}{
		{
			name:   "no probes",
			length: time.Minute,
			want:   "0s started true|0s ready true|0s end",
		},
		{
			name:   "readiness: first success, then failures by threshold, then back",
			c:      v1.Container{ReadinessProbe: probe(probes.Readiness, nil)},
			script: script{probes.Readiness: "fsffsfffs"},
			length: 85 * time.Second,
			want: "0s started true|0s readiness failure|10s ready true|20s readiness failure|30s readiness failure|" +
				"50s readiness failure|1m0s readiness failure|1m10s readiness failure|1m10s ready false|1m20s ready true|1m25s end",
		},
		{
			name: "readiness: success threshold",
			c: v1.Container{ReadinessProbe: probe(probes.Readiness, func(p *v1.Probe) {
				p.PeriodSeconds, p.SuccessThreshold = 1, 3
			})},
			script: script{probes.Readiness: "ssfsss"},
			length: 5500 * time.Millisecond,
			want:   "0s started true|2s readiness failure|5s ready true|5.5s end",
		},
		{
			name:   "liveness: default threshold and period",
			c:      v1.Container{LivenessProbe: probe(probes.Liveness, nil)},
			script: script{probes.Liveness: "sffsf"},
			length: time.Hour,
			want: "0s started true|0s ready true|10s liveness failure|20s liveness failure|40s liveness failure|" +
				"50s liveness failure|1m0s liveness failure|" +
				"1m0s unhealthy: the liveness probe failed 3 times in a row: the command exited with code 1: bad; grace of the pod|1m0s end",
		},
		{
			name: "liveness: unknown neither counts nor interrupts",
			c: v1.Container{LivenessProbe: probe(probes.Liveness, func(p *v1.Probe) {
				p.PeriodSeconds, p.FailureThreshold, p.TerminationGracePeriodSeconds = 1, 2, &grace
			})},
			script: script{probes.Liveness: "fuuf"},
			length: time.Hour,
			want: "0s started true|0s ready true|0s liveness failure|1s liveness unknown|2s liveness unknown|3s liveness failure|" +
				"3s unhealthy: the liveness probe failed 2 times in a row: the command exited with code 1: bad; grace 7|3s end",
		},
		{
			name: "liveness: timeouts are failures, and a probe longer than its period is followed at once",
			c: v1.Container{LivenessProbe: probe(probes.Liveness, func(p *v1.Probe) {
				p.PeriodSeconds, p.TimeoutSeconds, p.FailureThreshold = 1, 3, 2
			})},
			script: script{probes.Liveness: "h"},
			length: time.Hour,
			want: "0s started true|0s ready true|3s liveness failure|6s liveness failure|" +
				"6s unhealthy: the liveness probe failed 2 times in a row: timed out after 3s: the command did not end: ; grace of the pod|6s end",
		},
		{
			name: "startup holds the others back",
			c: v1.Container{
				StartupProbe:   probe(probes.Startup, every(5)),
				LivenessProbe:  probe(probes.Liveness, every(2)),
				ReadinessProbe: probe(probes.Readiness, every(2)),
			},
			script: script{probes.Startup: "ffsf", probes.Liveness: "s", probes.Readiness: "s"},
			length: 61 * time.Second,
			want:   "0s startup failure|5s startup failure|10s started true|10s ready true|1m1s end",
		},
		{
			name:   "startup alone makes ready",
			c:      v1.Container{StartupProbe: probe(probes.Startup, nil)},
			script: script{probes.Startup: "s"},
			length: time.Minute,
			want:   "0s started true|0s ready true|0s end",
		},
		{
			name: "startup fails for good",
			c: v1.Container{
				StartupProbe: probe(probes.Startup, func(p *v1.Probe) {
					p.PeriodSeconds, p.FailureThreshold, p.TerminationGracePeriodSeconds = 1, 1, &grace
				}),
				LivenessProbe: probe(probes.Liveness, nil),
			},
			script: script{probes.Startup: "f", probes.Liveness: "s"},
			length: time.Hour,
			want: "0s startup failure|" +
				"0s unhealthy: the startup probe failed 1 times in a row: the command exited with code 1: bad; grace 7|0s end",
		},
		{
			name:   "startup already passed before a restart of the daemon",
			c:      v1.Container{StartupProbe: probe(probes.Startup, nil), ReadinessProbe: probe(probes.Readiness, nil)},
			script: script{probes.Startup: "f", probes.Readiness: "s"},
			length: time.Minute,
			adjust: func(t *probes.Target) { t.Started = true },
			want:   "0s started true|0s ready true|1m0s end",
		},
		{
			name: "initial delay",
			c: v1.Container{ReadinessProbe: probe(probes.Readiness, func(p *v1.Probe) {
				p.InitialDelaySeconds = 25
			})},
			script: script{probes.Readiness: "s"},
			length: time.Minute,
			want:   "0s started true|25s ready true|1m0s end",
		},
		{
			name: "initial delay counts from the start of the container",
			c: v1.Container{ReadinessProbe: probe(probes.Readiness, func(p *v1.Probe) {
				p.InitialDelaySeconds = 25
			})},
			script: script{probes.Readiness: "s"},
			length: time.Minute,
			adjust: func(t *probes.Target) { t.StartedAt = time.Now().Add(-20 * time.Second) },
			want:   "0s started true|5s ready true|1m0s end",
		},
		{
			name: "ends during the initial delay",
			c: v1.Container{StartupProbe: probe(probes.Startup, func(p *v1.Probe) {
				p.InitialDelaySeconds = 600
			})},
			script: script{probes.Startup: "s"},
			length: time.Minute,
			want:   "1m0s end",
		},
		{
			name: "ends during a probe, which then says nothing",
			c: v1.Container{LivenessProbe: probe(probes.Liveness, func(p *v1.Probe) {
				p.TimeoutSeconds, p.FailureThreshold = 600, 1
			})},
			script: script{probes.Liveness: "h"},
			length: time.Minute,
			want:   "0s started true|0s ready true|1m0s end",
		},
		{
			name: "liveness ends readiness too",
			c: v1.Container{
				LivenessProbe: probe(probes.Liveness, func(p *v1.Probe) {
					p.InitialDelaySeconds, p.FailureThreshold = 5, 1
				}),
				ReadinessProbe: probe(probes.Readiness, func(p *v1.Probe) { p.TimeoutSeconds = 60 }),
			},
			script: script{probes.Liveness: "f", probes.Readiness: "h"},
			length: time.Hour,
			want: "0s started true|5s liveness failure|" +
				"5s unhealthy: the liveness probe failed 1 times in a row: the command exited with code 1: bad; grace of the pod|5s end",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := play(t, &tt.c, tt.script, tt.length, tt.adjust)
			if diff := cmp.Diff(strings.Split(tt.want, "|"), got); diff != "" {
				t.Errorf("trace (-want +got):\n%s", diff)
			}
		})
	}
}

func TestRunWithoutCallbacks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tgt := target("", func(context.Context, []string, io.Writer) (int, error) { return 1, nil })
		tgt.Container = &v1.Container{
			LivenessProbe:  probe(probes.Liveness, nil),
			ReadinessProbe: probe(probes.Readiness, nil),
		}
		begin := time.Now()
		probes.Run(t.Context(), tgt, probes.Callbacks{})
		if took := time.Since(begin); took != 20*time.Second {
			t.Errorf("ended after %s, want 20s", took)
		}
	})
}
