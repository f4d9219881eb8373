//go:build e2e

package e2e_test

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// from is a container of an image that says hello and ends.
func from(ref string, policy v1.PullPolicy) v1.Container {
	c := shell("c", "echo hello")
	c.Image, c.ImagePullPolicy = ref, policy
	return c
}

func TestPullByNameAndPolicy(t *testing.T) {
	t.Parallel()
	d := sharedDaemon(t)
	f := newFront(t, false)
	image := f.publish(t, "by-name", 1<<20)
	bare := strings.TrimSuffix(image.ref, ":1")
	other := "arm64"
	if runtime.GOARCH == other {
		other = "amd64"
	}
	mine := f.publishIndex(t, image, "linux/"+runtime.GOARCH)
	alien := f.publishIndex(t, image, "linux/"+other)
	f.forget()
	for _, c := range []struct {
		name, ref string
		policy    v1.PullPolicy
		// asked says that the registry is asked, fetched that a layer comes from it.
		asked, fetched bool
	}{
		{"tag and port", image.ref, v1.PullIfNotPresent, true, true},
		{"present", image.ref, v1.PullIfNotPresent, false, false},
		{"never, present", image.ref, v1.PullNever, false, false},
		{"always", image.ref, v1.PullAlways, true, false},
		{"digest", bare + "@" + image.digest, v1.PullIfNotPresent, false, false},
		{"tag and digest, always", image.ref + "@" + image.digest, v1.PullAlways, false, false},
		{"this platform of several", mine, v1.PullIfNotPresent, true, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			f.forget()
			p := d.run(t, newPod(from(c.ref, c.policy)))
			if got := p.output(); got != "hello\n" {
				t.Errorf("log = %q", got)
			}
			if id := p.status().Container("c").ImageID; !strings.HasPrefix(id, "docker-pullable://"+bare+"@sha256:") {
				t.Errorf("imageID = %q", id)
			}
			asked, fetched := f.count("", "/manifests/") > 0, f.count("GET", "/blobs/") > 0
			if asked != c.asked || fetched != c.fetched {
				t.Errorf("the registry was asked: %t, sent layers: %t; want %t, %t", asked, fetched, c.asked, c.fetched)
			}
		})
	}
	t.Run("always, the registry is broken", func(t *testing.T) {
		f.spoilWith(func(w http.ResponseWriter, _ *http.Request) bool {
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		})
		defer f.spoilWith(nil)
		if got := d.run(t, newPod(from(image.ref, v1.PullAlways))).output(); got != "hello\n" {
			t.Errorf("log = %q", got)
		}
	})
	t.Run("another platform only", func(t *testing.T) {
		p := d.run(t, newPod(from(alien, v1.PullIfNotPresent)))
		seen := p.waitFor("ErrImagePull", func(s podStatus) bool { return waitingReason(s, "c") == "ErrImagePull" })
		if message := seen.Container("c").State.Waiting.Message; !strings.Contains(message, "no matching manifest for linux/"+runtime.GOARCH) {
			t.Errorf("message = %q", message)
		}
	})
}

// refusals are what a registry may say, by the name of the image.
var refusals = map[string]struct {
	code int
	body string
	// words of the registry that the message must have.
	words string
}{
	"unauthorized": {401, `{"errors":[{"code":"UNAUTHORIZED","message":"authentication required"}]}`, "unauthorized"},
	"denied":       {403, `{"errors":[{"code":"DENIED","message":"requested access to the resource is denied"}]}`, "denied"},
	"unknown":      {404, `{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}`, "manifest unknown"},
	"too-many":     {429, `{"errors":[{"code":"TOOMANYREQUESTS","message":"rate limit reached"}]}`, "toomanyrequests"},
	"broken":       {500, `oh no`, "500"},
}

// TestPullIsCutOff: the engine goes on where a connection broke, and the log and
// the status say how far it is.
func TestPullIsCutOff(t *testing.T) {
	t.Parallel()
	f := newFront(t, false)
	const size = 6 << 20
	image := f.publish(t, "cut", size)
	var cut atomic.Bool
	f.spoilWith(func(w http.ResponseWriter, r *http.Request) bool {
		if !isBlob(r) || cut.Load() {
			return false
		}
		once := &partial{ResponseWriter: w, limit: size / 2}
		defer func() {
			if once.reached {
				cut.Store(true)
			}
		}()
		f.pass(once, r)
		return true
	})
	d := ownDaemon(t, 1, nil)
	p := d.run(t, newPod(from(image.ref, v1.PullIfNotPresent)))
	p.waitFor("how far the pull is", func(s podStatus) bool {
		w := s.Container("c").State.Waiting
		return w != nil && w.Reason == "ContainerCreating" && strings.Contains(w.Message, "pulling image "+image.ref+": ") &&
			strings.Contains(w.Message, "B of 6.")
	})
	if got := p.output(); got != "hello\n" {
		t.Errorf("log = %q", got)
	}
	lines := strings.Count(d.log.String(), "percent=")
	if lines == 0 || lines > 6 {
		t.Errorf("the log says %d times how far the pull is:\n%s", lines, d.log.About("percent="))
	}
}

// TestImageIsPulledAgain: a warm sandbox that shares layers which the host has
// dropped meanwhile is not used for the same image, whose layers are new.
func TestImageIsPulledAgain(t *testing.T) {
	t.Parallel()
	image := newFront(t, false).publish(t, "again", 1<<10)
	pull := func() {
		suite.engine.post(t, "/images/create?fromImage="+url.QueryEscape(strings.TrimSuffix(image.ref, ":1"))+"&tag=1", nil, nil)
	}
	pull()
	d := ownDaemon(t, 1, nil)
	eventually(t, runLimit, "a warm sandbox", func() bool { return d.idle(t.Context()) == nil }, nil)
	suite.engine.removeImage(t, image.ref)
	pull()
	if got := d.run(t, newPod(from(image.ref, v1.PullIfNotPresent))).output(); got != "hello\n" {
		t.Errorf("log = %q", got)
	}
}

// TestPullIsShared: ten pods that ask at the same time are one pull.
func TestPullIsShared(t *testing.T) {
	t.Parallel()
	const pods = 10
	f := newFront(t, false)
	image := f.publish(t, "shared", 1<<20)
	open := make(chan struct{})
	f.spoilWith(func(_ http.ResponseWriter, r *http.Request) bool {
		if isBlob(r) {
			select {
			case <-open:
			case <-r.Context().Done():
			}
		}
		return false
	})
	d := sharedDaemon(t)
	var all []*podRun
	for range pods {
		all = append(all, d.run(t, newPod(from(image.ref, v1.PullIfNotPresent))))
	}
	eventually(t, runLimit, "a layer is asked for", func() bool { return f.count("GET", "/blobs/") > 0 }, nil)
	close(open)
	for _, p := range all {
		p.waitPhase(v1.PodSucceeded)
	}
	if manifests, blobs := f.most("/manifests/"), f.most("/blobs/"); manifests != 1 || blobs != 1 {
		t.Errorf("the manifest was fetched %d times, a layer %d times, want once", manifests, blobs)
	}
}

// TestPullIsGivenUp: a pull goes on while a pod waits for it, and ends with the
// last one.
func TestPullIsGivenUp(t *testing.T) {
	t.Parallel()
	f := newFront(t, false)
	image := f.publish(t, "given-up", 8<<20)
	gone := make(chan struct{}, 16)
	f.spoilWith(func(w http.ResponseWriter, r *http.Request) bool {
		if !isBlob(r) {
			return false
		}
		stalls := &partial{ResponseWriter: w, limit: 2 << 20, stall: r.Context().Done()}
		defer func() {
			if stalls.reached {
				gone <- struct{}{}
			}
		}()
		f.pass(stalls, r)
		return true
	})
	d := sharedDaemon(t)
	first, second := d.run(t, newPod(from(image.ref, v1.PullIfNotPresent))), d.run(t, newPod(from(image.ref, v1.PullIfNotPresent)))
	for _, p := range []*podRun{first, second} {
		p.waitFor("the pull is under way", func(s podStatus) bool {
			w := s.Container("c").State.Waiting
			return w != nil && strings.Contains(w.Message, "B of 8.")
		})
	}
	first.delete(0)
	first.waitGone()
	if len(gone) != 0 {
		t.Error("the pull was given up although a pod waits for it")
	}
	second.delete(0)
	select {
	case <-gone:
	case <-time.After(runLimit):
		t.Error("the engine goes on pulling although nobody waits")
	}
	if suite.engine.hasImage(t, image.ref) {
		t.Error("the image is there")
	}
}

// partial passes on a limited number of bytes of an answer and then breaks off,
// or trickles until stall is closed.
type partial struct {
	http.ResponseWriter
	limit   int
	stall   <-chan struct{}
	reached bool
}

func (p *partial) Write(data []byte) (int, error) {
	if len(data) < p.limit {
		p.limit -= len(data)
		return p.ResponseWriter.Write(data)
	}
	sent, err := p.ResponseWriter.Write(data[:p.limit])
	p.limit, p.reached = 0, true
	for err == nil && sent < len(data) {
		if err = http.NewResponseController(p.ResponseWriter).Flush(); err != nil || p.stall == nil {
			break
		}
		select {
		case <-p.stall:
			return sent, http.ErrAbortHandler
		case <-time.After(tickPeriod):
		}
		// An engine notices that a pull is over when the next byte comes.
		var n int
		n, err = p.ResponseWriter.Write(data[sent:min(sent+1<<10, len(data))])
		sent += n
	}
	if err == nil && sent < len(data) {
		err = http.ErrAbortHandler
	}
	return sent, err
}

func TestPullCredentials(t *testing.T) {
	t.Parallel()
	inFile, byHelper, bySecret := newFront(t, true), newFront(t, true), newFront(t, true)
	dir := t.TempDir()
	auth := base64.StdEncoding.EncodeToString([]byte(registryUser + ":" + registryPassword))
	write := func(name, content string, mode os.FileMode) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("config.json", fmt.Sprintf(`{"auths":{%q:{"auth":%q}},"credHelpers":{%q:"e2e"}}`, inFile.address, auth, byHelper.address), 0o600)
	write("docker-credential-e2e", fmt.Sprintf("#!/bin/sh\nread -r server\n[ \"$1 $server\" = 'get %s' ] || exit 1\necho '%s'\n", byHelper.address,
		encode(t, map[string]string{"ServerURL": byHelper.address, "Username": registryUser, "Secret": registryPassword})), 0o700)
	d := prepareDaemon(t, map[string]any{"AVAILABLEDINDS": 1, "DOCKER_CONFIG": dir})
	d.Env = []string{"PATH=" + dir + ":" + os.Getenv("PATH")}
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	for name, f := range map[string]*front{"config file": inFile, "credential helper": byHelper} {
		t.Run(name, func(t *testing.T) {
			if got := d.run(t, newPod(from(f.publish(t, "private", 1<<10).ref, v1.PullIfNotPresent))).output(); got != "hello\n" {
				t.Errorf("log = %q", got)
			}
		})
	}
	image := bySecret.publish(t, "private", 1<<10)
	refused := func(policy v1.PullPolicy) func(t *testing.T) {
		return func(t *testing.T) {
			p := d.run(t, newPod(from(image.ref, policy)))
			seen := p.waitFor("ErrImagePull", func(s podStatus) bool { return waitingReason(s, "c") == "ErrImagePull" })
			if message := seen.Container("c").State.Waiting.Message; !strings.Contains(message, image.ref) || !strings.Contains(message, "no basic auth credentials") {
				t.Errorf("message = %q", message)
			}
		}
	}
	t.Run("none", refused(v1.PullIfNotPresent))
	t.Run("secret of the pod", func(t *testing.T) {
		request := newCreate(newPod(from(image.ref, v1.PullAlways)))
		request.Container[0].Secrets = []v1.Secret{{ObjectMeta: metav1.ObjectMeta{Name: "registry"}, Type: v1.SecretTypeDockerConfigJson,
			Data: map[string][]byte{v1.DockerConfigJsonKey: fmt.Appendf(nil, `{"auths":{%q:{"auth":%q}}}`, bySecret.address, auth)}}}
		if got := d.runRequest(t, request).output(); got != "hello\n" {
			t.Errorf("log = %q", got)
		}
	})
	// Another pod's right to an image is not everybody's, where the policy asks.
	t.Run("none, present, always", refused(v1.PullAlways))
	if strings.Contains(d.log.String(), registryPassword) || strings.Contains(d.log.String(), auth) {
		t.Error("the log has the password")
	}
}
