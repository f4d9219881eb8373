package images_test

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/images"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/keyring"
)

// slow is a host whose pulls go on until they are let through or cancelled.
type slow struct {
	*host
	began chan func(engine.PullProgress)
	let   chan struct{}
	ended chan error
}

func newSlow() *slow {
	s := &slow{host: newHost(), began: make(chan func(engine.PullProgress), 8), let: make(chan struct{}), ended: make(chan error, 8)}
	s.registry[ref] = engine.Image{ID: "sha256:new"}
	return s
}

func (s *slow) Pull(ctx context.Context, ref string, auth engine.Credentials, report func(engine.PullProgress)) error {
	s.began <- report
	select {
	case <-s.let:
		s.ended <- nil
		return s.host.Pull(ctx, ref, auth, report)
	case <-ctx.Done():
		s.ended <- ctx.Err()
		return ctx.Err()
	}
}

func TestPull_EndsWithItsLastWaiter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlow()
		p := images.New(images.Config{}, s)
		defer p.Close()
		left := make(chan error, 2)
		wait := func() context.CancelFunc {
			ctx, leave := context.WithCancel(t.Context())
			go func() {
				_, err := p.OnHost(ctx, images.Want{Ref: "app:1"})
				left <- err
			}()
			synctest.Wait()
			return leave
		}
		one, two := wait(), wait()
		if len(s.began) != 1 {
			t.Fatalf("%d pulls for two waiters", len(s.began))
		}
		one()
		<-left
		synctest.Wait()
		if len(s.ended) != 0 {
			t.Error("the pull ended although somebody waits")
		}
		two()
		<-left
		if err := <-s.ended; !errors.Is(err, context.Canceled) {
			t.Errorf("the pull ended with %v", err)
		}
		// Who comes then gets a pull of his own.
		defer wait()()
		if len(s.began) != 2 {
			t.Errorf("%d pulls, want another one", len(s.began))
		}
		close(s.let)
		if err := <-left; err != nil {
			t.Error(err)
		}
	})
}

// advance lets the fake clock run and waits until nothing moves any more.
func advance(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

func TestPull_TellsHowFarItIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlow()
		p := images.New(images.Config{}, s)
		defer p.Close()
		var told []string
		done := make(chan error, 1)
		go func() {
			_, err := p.OnHost(t.Context(), images.Want{Ref: "app:1", Tell: func(m string, _ *engine.PullProgress) { told = append(told, m) }})
			done <- err
		}()
		report := <-s.began
		advance(50 * time.Millisecond) // so that nothing falls on a full second
		for i := range int64(30) {
			report(engine.PullProgress{Done: i * 4e7, Total: 12e8, Unsized: 1})
			advance(100 * time.Millisecond)
		}
		report(engine.PullProgress{Done: 12e8, Total: 12e8})
		advance(2 * time.Second)
		report(engine.PullProgress{Done: 12e8, Total: 12e8, Unpacking: true})
		advance(2 * time.Second)
		close(s.let)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if len(told) < 4 || len(told) > 6 {
			t.Errorf("told %d times in seven seconds", len(told))
		}
		for _, want := range []string{"pulling image docker.io/library/app:1: 360 MB of 1.2 GB or more",
			"pulling image docker.io/library/app:1: 1.2 GB of 1.2 GB", "pulling image docker.io/library/app:1: unpacking 1.2 GB"} {
			if !strings.Contains(strings.Join(told, "\n")+"\n", want+"\n") {
				t.Errorf("not told %q but %q", want, told)
			}
		}
	})
}

func TestPull_Timeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := images.New(images.Config{Timeout: time.Minute}, newSlow())
		defer p.Close()
		_, err := p.OnHost(t.Context(), images.Want{Ref: "app:1"})
		failure := &images.PullError{}
		if !errors.As(err, &failure) || failure.Reason != images.ReasonPull || !strings.Contains(err.Error(), "1m0s (ImagePullTimeout)") {
			t.Errorf("error %v", err)
		}
	})
}

// TestPull_OtherCredentials: who has no right to an image must not get it by
// waiting beside somebody who has.
func TestPull_OtherCredentials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSlow()
		p := images.New(images.Config{}, s)
		defer p.Close()
		done := make(chan error, 2)
		for _, password := range []string{"right", "wrong"} {
			auth := base64.StdEncoding.EncodeToString([]byte("user:" + password))
			keys := keyring.Of(map[string]v1.Secret{"s": {Type: v1.SecretTypeDockerConfigJson, Data: map[string][]byte{
				v1.DockerConfigJsonKey: fmt.Appendf(nil, `{"auths":{"r.example":{"auth":%q}}}`, auth)}}})
			go func() {
				_, err := p.OnHost(t.Context(), images.Want{Ref: "r.example/app:1", Keys: keys})
				done <- err
			}()
		}
		synctest.Wait()
		if len(s.began) != 2 {
			t.Errorf("%d pulls for two passwords", len(s.began))
		}
		close(s.let)
		<-done
		<-done
	})
}
