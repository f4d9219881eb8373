package retry_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/sirupsen/logrus"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/retry"
)

// logged is a context whose log is kept.
func logged(t *testing.T) (context.Context, *bytes.Buffer) {
	t.Helper()
	out := &bytes.Buffer{}
	logger := logrus.New()
	logger.SetOutput(out)
	return log.WithLogger(t.Context(), logrus.NewEntry(logger)), out
}

func TestOneLineForATrouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, out := logged(t)
		l := retry.New(time.Second, 10*time.Second)
		away := errors.New("connection refused")
		began, tries := time.Now(), 0
		for time.Since(began) < 10*time.Minute {
			if err := l.Failed(ctx, "the engine is away", away); err != nil {
				t.Fatal(err)
			}
			tries++
		}
		if tries < 40 || tries > 120 {
			t.Errorf("%d tries in ten minutes, want them to grow to about 10 s", tries)
		}
		l.Succeeded(ctx, "the engine is back")
		l.Succeeded(ctx, "the engine is back")
		if got := strings.Count(out.String(), "\n"); got != 2 || !strings.Contains(out.String(), "the engine is back") {
			t.Errorf("the log has %d lines, want the beginning and the end:\n%s", got, out)
		}
		again := time.Now()
		if err := l.Failed(ctx, "the engine is away", away); err != nil || time.Since(again) > 2*time.Second {
			t.Errorf("the first wait of the next trouble took %s, %v", time.Since(again), err)
		}
		if got := strings.Count(out.String(), "\n"); got != 3 {
			t.Errorf("the log has %d lines after the next trouble:\n%s", got, out)
		}
	})
}

func TestWordsThatChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, out := logged(t)
		l := retry.New(time.Second, time.Second)
		began := time.Now()
		for i := 0; time.Since(began) < 5*time.Minute; i++ {
			if err := l.Failed(ctx, "no sandbox", fmt.Errorf("sandbox %d: no space left", i)); err != nil {
				t.Fatal(err)
			}
		}
		if got := strings.Count(out.String(), "\n"); got < 4 || got > 6 {
			t.Errorf("%d lines in five minutes, want one a minute:\n%s", got, out)
		}
	})
}

func TestEndsWithItsCaller(t *testing.T) {
	ctx, out := logged(t)
	ctx, cancel := context.WithCancel(ctx)
	cancel()
	if err := retry.New(time.Hour, time.Hour).Failed(ctx, "away", errors.New("x")); !errors.Is(err, context.Canceled) {
		t.Errorf("Failed() of a caller that left = %v", err)
	}
	if out.Len() > 0 {
		t.Errorf("what broke because the caller left was logged: %s", out)
	}
}
