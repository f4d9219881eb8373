//go:build e2e

package e2e_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/url"
	"strings"
	"testing"

	"github.com/google/uuid"
	v1 "k8s.io/api/core/v1"
)

// lateImage makes an image that the host has not had before, with a variable LATE.
func lateImage(t *testing.T) (image, value string) {
	t.Helper()
	value = uuid.NewString()
	spec, err := json.Marshal(map[string]any{"Image": suite.images.busybox, "Cmd": []string{"true"},
		"Labels": map[string]string{"docker-sd.lab": "late"}})
	if err != nil {
		t.Fatal(err)
	}
	var answer bytes.Buffer
	if err := post(t.Context(), "/containers/create", "application/json", bytes.NewReader(spec), &answer); err != nil {
		t.Fatal(err)
	}
	var created struct{ ID string }
	if err := json.Unmarshal(answer.Bytes(), &created); err != nil {
		t.Fatal(err)
	}
	query := url.Values{"container": {created.ID}, "repo": {"docker-sd-test/late"}, "tag": {value}, "changes": {"ENV LATE=" + value}}
	image = "docker-sd-test/late:" + value
	if err := post(t.Context(), "/commit?"+query.Encode(), "application/json", nil, io.Discard); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), runLimit)
		defer cancel()
		if err := suite.engine.call(ctx, "DELETE", "/images/"+image+"?force=1", nil); err != nil {
			t.Error(err)
		}
	})
	if err := suite.engine.removeContainer(t.Context(), created.ID); err != nil {
		t.Fatal(err)
	}
	return image, value
}

// says runs pods of an image at once and checks that each is of that image.
func (d *daemon) says(t *testing.T, n int, image, want string) {
	t.Helper()
	runs := make([]*podRun, n)
	for i := range runs {
		c := shell("c", "echo $LATE")
		c.Image = image
		runs[i] = d.run(t, newPod(c))
	}
	for _, r := range runs {
		r.waitPhase(v1.PodSucceeded)
		if got := r.logs("c", logOptions{}); got != want+"\n" {
			t.Errorf("log %q, want %q", got, want)
		}
	}
}

func (d *daemon) count(words, image string) int {
	n := 0
	for line := range strings.Lines(d.log.About(image)) {
		if strings.Contains(line, words) {
			n++
		}
	}
	return n
}

// TestLateImageIsShared: an image that came after the pool was warmed is copied
// into no sandbox. On a host whose layers cannot be shared it is imported once,
// also over a SIGKILL of docker-sd and the loss of the engine that holds it.
func TestLateImageIsShared(t *testing.T) {
	t.Parallel()
	d := ownDaemon(t, 1, nil)
	d.waitWarm(t, 1)
	image, value := lateImage(t)
	d.says(t, 3, image, value)
	if err := d.kill(); err != nil {
		t.Fatal(err)
	}
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	stores, err := suite.engine.allContainers(t.Context(), d.label(), storeLabel)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range stores {
		if err := suite.engine.kill(t.Context(), c.ID); err != nil {
			t.Fatal(err)
		}
	}
	d.says(t, 1, image, value)
	another, value := lateImage(t)
	d.says(t, 2, another, value)
	for _, image := range []string{image, another} {
		if n := d.count("image imported", image); n != len(stores) {
			t.Errorf("%s was imported %d times by a daemon with %d stores", image, n, len(stores))
		}
		if n := d.count("copying image", image); n > 0 {
			t.Errorf("%s was copied %d times", image, n)
		}
	}
}

// TestCopiedImageIsUsedAgain: with ImageSharing copy, a container that restarts
// finds what was copied for its first start, whatever the image is called inside.
func TestCopiedImageIsUsedAgain(t *testing.T) {
	t.Parallel()
	d := ownDaemon(t, 1, map[string]any{"ImageSharing": "copy"})
	image, value := lateImage(t)
	c := shell("c", `echo $LATE; test -e /vol/again || { touch /vol/again; exit 1; }`)
	c.Image = image
	pod := withVolume(newPod(c), emptyDir(), "/vol")
	pod.Spec.RestartPolicy = v1.RestartPolicyOnFailure
	p := d.run(t, pod)
	seen := p.waitPhase(v1.PodSucceeded)
	if got := p.logs("c", logOptions{}); got != value+"\n" {
		t.Errorf("log %q, want %q", got, value)
	}
	if n := d.count("copying image", image); n != 1 || seen.Container("c").RestartCount != 1 {
		t.Errorf("%d copies for %s", n, fmt.Sprint(seen))
	}
}
