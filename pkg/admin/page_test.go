package admin_test

import (
	"context"
	"errors"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"k8s.io/apimachinery/pkg/types"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/access"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/admin"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/gpu"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/usage"
)

func TestPageShowsAll(t *testing.T) {
	address := start(t, fixed{troubles: []string{"no engine"}}, "tcp", "127.0.0.1:0")
	response, body := ask(t, http.MethodGet, address, "", "/")
	if kind := response.Header.Get("Content-Type"); kind != "text/html; charset=utf-8" {
		t.Errorf("the page is %s", kind)
	}
	for _, text := range []string{"no engine", "physics/</span>fit</a>", "exit 3", "s1", "s2", "GPU-1", "H100", "physics/fit", "nvidia.com/gpu free", ">started<", "1 of 110", `href="pods/u1"`} {
		if !strings.Contains(body, text) {
			t.Errorf("the page lacks %q", text)
		}
	}
	for path, kind := range map[string]string{"/page.css": "text/css; charset=utf-8", "/page.js": "text/javascript; charset=utf-8", "/icon.svg": "image/svg+xml"} {
		response, _ := ask(t, http.MethodGet, address, "", path)
		if response.Header.Get("Content-Type") != kind {
			t.Errorf("%s is %s, want %s", path, response.Header.Get("Content-Type"), kind)
		}
	}
}

// hostile is a Source whose every text tries to be markup.
type hostile struct{ fixed }

const markup = `"'><script>alert(1)</script><img src=x onerror=alert(1)>{{.}}`

func (hostile) Info() admin.Info {
	return admin.Info{Version: markup, Instance: markup, Address: markup, Engine: markup, Troubles: []string{markup}}
}

func (hostile) Pods() admin.Pods {
	return admin.Pods{Pods: []podstatus.View{{UID: markup, Namespace: markup, Name: markup, Phase: markup, IP: markup,
		Network:    &podstatus.NetworkView{Mode: markup, Server: markup, Address: markup, Error: markup},
		Containers: []podstatus.ContainerView{{Name: markup, Image: markup, State: markup, Reason: markup, Message: markup}}}}}
}

func (hostile) Pool() admin.Pool {
	return admin.Pool{Error: markup, Sandboxes: []admin.Sandbox{{Name: markup, IP: markup, State: markup, Namespace: markup, PodName: markup}}}
}

func (hostile) GPUs() gpu.Snapshot {
	return gpu.Snapshot{Devices: []gpu.DeviceState{{Device: gpu.Device{UUID: markup, Name: markup, PCIBusID: markup}, State: markup,
		Offered: markup, Holders: []string{markup}, Reasons: []string{markup}}}, Totals: map[string]int64{markup: 1}}
}

func (hostile) Events() admin.Events {
	return admin.Events{Events: []admin.Event{{Time: time.Now(), What: markup, Namespace: markup, PodName: markup, Container: markup, Detail: markup},
		{Time: time.Now(), What: markup, Sandbox: markup}}}
}

// hostileDescription is what there is to know of such a pod.
func hostileDescription() *admin.Description {
	end := v1.ContainerState{Terminated: &v1.ContainerStateTerminated{Reason: markup, Message: markup}}
	return &admin.Description{Pod: hostile{}.Pods().Pods[0], Labels: map[string]string{markup: markup}, QOSClass: markup, RestartPolicy: markup,
		Conditions: []v1.PodCondition{{Type: markup, Status: markup, Reason: markup}},
		Containers: []admin.DescribedContainer{{Status: v1.ContainerStatus{Name: markup, State: end, RestartCount: 1}, Spec: v1.Container{Name: markup, Image: markup,
			Command: []string{markup}, Args: []string{markup}, Env: []v1.EnvVar{{Name: markup}}, VolumeMounts: []v1.VolumeMount{{Name: markup, MountPath: markup}},
			Resources: v1.ResourceRequirements{Limits: v1.ResourceList{markup: resource.MustParse("1")}}, Ports: []v1.ContainerPort{{Protocol: markup}}}}},
		Timeline: []admin.Moment{{What: markup, Container: markup, Detail: markup, State: markup, Took: 1}},
		Events:   []admin.Event{{What: markup, Container: markup, Detail: markup}}}
}

// TestPageEscapes: whatever a pod chooses is text on each page, also in the addresses of links.
func TestPageEscapes(t *testing.T) {
	r := newRooms()
	r.description, r.any = hostileDescription(), true
	r.log = func(_ admin.LogQuery, w io.Writer) error { _, err := io.WriteString(w, markup); return err }
	server := serve(t, admin.Config{Source: hostile{}, Usage: func() usage.Report { return usage.Report{Trouble: markup} }}, r)
	pod := "/pods/" + url.PathEscape(markup)
	query := "?q=" + url.QueryEscape(markup) + "&namespace=" + url.QueryEscape(markup) + "&phase=" + url.QueryEscape(markup)
	for path, least := range map[string]int{"/": 60, "/" + query: 70, pod: 60, pod + "?container=" + url.QueryEscape(markup): 60, "/pods/none" + url.PathEscape(markup): 6,
		"/pods/" + url.PathEscape(markup+"x/y"): 6, "/pods/x/" + url.PathEscape(markup): 6} {
		_, body := server.get(t, path)
		n := 0
		for _, form := range []string{"alert(1)", "alert%281%29"} {
			n += strings.Count(body, form)
		}
		if n < least {
			t.Errorf("%s has %d of its texts, want them all, at least %d", path, n, least)
		}
		for _, bad := range []string{"<script>alert", "<img", `"'>`, "{{.}}{{", "%!"} {
			if strings.Contains(body, bad) {
				t.Errorf("%s has %s unescaped", path, bad)
			}
		}
	}
}

// secret is in all that only the owner sees.
const secret = "CANARY-of-the-owner"

// TestPodPageIsDiscreet: over TCP, and for a browser that was led to the socket under a name
// of another site, the page of a pod has what the views have. Its owner sees all.
func TestPodPageIsDiscreet(t *testing.T) {
	r := newRooms()
	end := v1.ContainerState{Terminated: &v1.ContainerStateTerminated{Message: secret + "-words"}}
	r.description = &admin.Description{Labels: map[string]string{"app": secret + "-label"}, Conditions: []v1.PodCondition{{Type: v1.PodReady, Reason: secret + "-reason"}},
		Containers: []admin.DescribedContainer{{Status: v1.ContainerStatus{State: end, RestartCount: 2}, Spec: v1.Container{Name: "main", Command: []string{secret + "-command"},
			Args: []string{secret + "-args"}, Env: []v1.EnvVar{{Name: secret + "-variable", Value: "never-shown"}}}}, {Spec: v1.Container{Name: "done"}}},
		Volumes:  []v1.Volume{{Name: "never-shown"}},
		Timeline: []admin.Moment{{What: "volumes", Took: 3e7}}, Events: []admin.Event{{What: "started", Detail: "attempt 0"}}}
	asked := make(chan admin.LogQuery, 10)
	r.log = func(q admin.LogQuery, w io.Writer) error {
		asked <- q
		_, err := io.WriteString(w, secret+"-log")
		return err
	}
	server := serve(t, admin.Config{Source: fixed{}}, r)
	for _, c := range []struct {
		name string
		get  func(*testing.T, string) (*http.Response, string)
	}{
		{"over TCP", func(t *testing.T, path string) (*http.Response, string) {
			return ask(t, http.MethodGet, server.tcp, "", path)
		}},
		{"under another name", func(t *testing.T, path string) (*http.Response, string) {
			return server.getAs(t, "evil.example:8080", path)
		}},
	} {
		for _, path := range []string{"/pods/u1", "/pods/u1?container=main", "/pods/u1?container=main&previous=true", "/"} {
			response, body := c.get(t, path)
			if strings.Contains(body, secret) || strings.Contains(body, "never-shown") || response.StatusCode != 200 {
				t.Errorf("%s, %s (%d) has what is the owner's:\n%s", c.name, path, response.StatusCode, body)
			}
			if strings.HasPrefix(path, "/pods") && (!strings.Contains(body, "volumes") || !strings.Contains(body, "30ms") || !strings.Contains(body, "attempt 0") || !strings.Contains(body, "the owner of docker-sd alone")) {
				t.Errorf("%s, %s lacks the timeline, the events, or how to see more:\n%s", c.name, path, body)
			}
		}
	}
	if len(asked) > 0 {
		t.Errorf("a log was read for others: %+v", <-asked)
	}
	_, body := server.get(t, "/pods/u1")
	for _, part := range []string{"-words", "-label", "-reason", "-command", "-args", "-variable", "-log"} {
		if !strings.Contains(body, secret+part) {
			t.Errorf("the owner does not see %s:\n%s", part, body)
		}
	}
	if strings.Contains(body, "never-shown") {
		t.Error("the owner sees the value of a variable")
	}
	if q := <-asked; q != (admin.LogQuery{UID: "u1", Container: "main", Lines: 100}) {
		t.Errorf("asked for %+v", q)
	}
	for path, want := range map[string]admin.LogQuery{
		"?container=done":               {UID: "u1", Container: "done", Lines: 100},
		"?container=main&previous=true": {UID: "u1", Container: "main", Lines: 100, Previous: true},
		"?container=nothing":            {UID: "u1", Container: "main", Lines: 100},
	} {
		server.get(t, "/pods/u1"+path)
		if q := <-asked; q != want {
			t.Errorf("%s asks for %+v, want %+v", path, q, want)
		}
	}
}

// TestLogOfPage: one that is large or slow is bounded, and one that cannot be read says why.
func TestLogOfPage(t *testing.T) {
	r := newRooms()
	r.description = &admin.Description{Containers: []admin.DescribedContainer{{Spec: v1.Container{Name: "main"}}}}
	server := serve(t, admin.Config{Source: fixed{}}, r)
	began := time.Now()
	for name, c := range map[string]struct {
		log  func(admin.LogQuery, io.Writer) error
		want string
	}{
		"large": {func(_ admin.LogQuery, w io.Writer) error {
			_, err := io.Copy(w, io.LimitReader(endless{}, 50<<20))
			return err
		}, "<pre"},
		"broken":   {func(admin.LogQuery, io.Writer) error { return errors.New("the sandbox does not answer") }, "the sandbox does not answer"},
		"steering": {func(_ admin.LogQuery, w io.Writer) error { _, err := io.WriteString(w, "\x1b[2J\u202egpj"); return err }, "⟨U+001B⟩[2J⟨U+202E⟩gpj"},
		"empty":    {func(admin.LogQuery, io.Writer) error { return nil }, "Container main has written nothing."},
	} {
		r.log = c.log
		response, body := server.get(t, "/pods/u1")
		if response.StatusCode != 200 || !strings.Contains(body, c.want) || len(body) > 400<<10 {
			t.Errorf("%s: %d with %d bytes, want %q", name, response.StatusCode, len(body), c.want)
		}
	}
	// Ten readers of a log that hangs are told so, each in its time.
	r.log = nil
	r.hangs = true
	var readers sync.WaitGroup
	for range 10 {
		readers.Go(func() {
			if _, body := server.get(t, "/pods/u1"); !strings.Contains(body, "could not be read within 3s") && !strings.Contains(body, "Other logs are being read") ||
				strings.Contains(body, "could not") != strings.Contains(body, `data-every="30000"`) {
				t.Errorf("a log that hangs:\n%s", body)
			}
		})
	}
	readers.Wait()
	if took := time.Since(began); took > time.Minute {
		t.Errorf("all that took %s", took)
	}
}

// TestPodPageNames: by UID, by name, and by names that nobody has.
func TestPodPageNames(t *testing.T) {
	server := serve(t, admin.Config{Source: fixed{}}, newRooms())
	for path, want := range map[string]struct {
		code     int
		location string
		text     string
	}{
		"/pods/u1":                    {200, "", "<h1>fit</h1>"},
		"/pods/physics/fit":           {302, "../u1", ""},
		"/pods/physics/fit?container": {302, "../u1?container", ""},
		"/pods/fit":                   {302, "./u1", ""},
		"/pods/":                      {302, "../", ""},
		"/pods/physics/fti":           {404, "", `<a href="../../pods/u1">`},
		"/pods/other/fit":             {404, "", `<a href="../../pods/u1">`},
		"/pods/fti":                   {404, "", `<a href="../pods/u1">`},
		"/pods/entirely-different":    {404, "", "entirely-different"},
		"/pods/" + strings.Repeat("x", 8000) + "/" + strings.Repeat("x", 7000): {404, "", "No such pod"},
		"/pods/a/b/c": {404, "", "404 page not found"},
	} {
		response, body := server.get(t, path)
		if response.StatusCode != want.code || response.Header.Get("Location") != want.location || !strings.Contains(body, want.text) {
			t.Errorf("%.80s is answered %d to %q, want %+v:\n%s", path, response.StatusCode, response.Header.Get("Location"), want, body)
		}
	}
	// Another docker-sd has not looked yet.
	starting := serve(t, admin.Config{Source: early{}}, nil)
	for path, text := range map[string]string{"/pods/u1": "docker-sd is starting", "/pods/physics/fit": "docker-sd is starting"} {
		if response, body := starting.get(t, path); response.StatusCode != 503 || !strings.Contains(body, text) || strings.Contains(body, "No such pod") {
			t.Errorf("%s of a docker-sd that starts is answered %d:\n%s", path, response.StatusCode, body)
		}
	}
	if _, body := starting.get(t, "/"); !strings.Contains(body, "has not looked at its pods yet") {
		t.Errorf("the list of a docker-sd that starts:\n%s", body)
	}
}

// TestPagePolicy: each page, and nothing else, may run its script, and none may make elements
// of strings or be sent elsewhere by a form.
func TestPagePolicy(t *testing.T) {
	server := serve(t, admin.Config{Source: fixed{}}, newRooms())
	for path, page := range map[string]bool{"/": true, "/pods/u1": true, "/pods/none": true, admin.PathPods: false, "/page.js": false, "/icon.svg": false, "/metrics": false, "/none": false} {
		response, _ := server.get(t, path)
		policy := response.Header.Get("Content-Security-Policy")
		if !strings.HasPrefix(policy, "default-src 'none'; ") || strings.Contains(policy, "unsafe") || !strings.Contains(policy, "frame-ancestors 'none'") ||
			strings.Contains(policy, "script-src 'self'") != page || strings.Contains(policy, "require-trusted-types-for 'script'") != page ||
			strings.Contains(policy, "form-action 'self'") != page || strings.Contains(policy, "form-action 'none'") == page {
			t.Errorf("the policy of %s is %s", path, policy)
		}
	}
}

// crowded is a node with 500 pods.
type crowded struct{ fixed }

func (crowded) Pods() admin.Pods {
	var out admin.Pods
	for i := range 500 {
		one := fixed{}.Pods().Pods[0]
		one.UID, one.Name = types.UID(fmt.Sprintf("00000000-0000-4000-8000-%012d", i)), fmt.Sprintf("pod-%03d", i)
		out.Pods = append(out.Pods, one)
	}
	return out
}

func (c crowded) Pool() admin.Pool {
	var out admin.Pool
	for _, p := range c.Pods().Pods {
		out.Sandboxes = append(out.Sandboxes, admin.Sandbox{Name: "s-" + p.Name, State: admin.SandboxClaimed, PodUID: p.UID, Namespace: p.Namespace, PodName: p.Name})
	}
	return out
}

// TestPageWithManyPods: it stays small, and its links lead to all of them.
func TestPageWithManyPods(t *testing.T) {
	server := serve(t, admin.Config{Source: crowded{}}, nil)
	seen, path := map[string]bool{}, "/"
	next := regexp.MustCompile(`rel="next" href="([^"]+)"`)
	for path != "" {
		_, body := server.get(t, path)
		if len(body) > 80<<10 {
			t.Errorf("%s has %d bytes", path, len(body))
		}
		_, table, _ := strings.Cut(body, `<section id="pods"`)
		table, _, _ = strings.Cut(table, `<section id="sandboxes"`)
		for _, match := range regexp.MustCompile(`data-key="(0000[^"]+)"`).FindAllStringSubmatch(table, -1) {
			seen[match[1]] = true
		}
		match := next.FindStringSubmatch(body)
		if path = ""; match != nil {
			path = "/" + html.UnescapeString(match[1])
		}
		if len(seen) > 500 {
			break
		}
	}
	if len(seen) != 500 {
		t.Errorf("the pages show %d pods", len(seen))
	}
	if _, body := server.get(t, "/?q=pod-123&phase=running"); !strings.Contains(body, "1 of 500 match") || !strings.Contains(body, "pod-123") || strings.Contains(body, ">pod-124") && !strings.Contains(body, "sandboxes") {
		t.Errorf("a search finds\n%s", body)
	}
	if _, body := server.get(t, "/?q=nothing-like-it"); !strings.Contains(body, "No pod matches.") || !strings.Contains(body, "450 more") {
		t.Errorf("a search for nothing finds\n%s", body)
	}
}

// served is a server with both of its addresses.
type served struct {
	client *admin.Client
	tcp    string
}

// serve answers on a socket and on TCP. Without an Inside docker-sd starts.
func serve(t *testing.T, config admin.Config, r *rooms) served {
	t.Helper()
	config.Hosts, config.Metrics, config.Status = access.NewHosts(), http.NotFoundHandler(), statusOf
	config.Inside = func() admin.Inside {
		if r == nil {
			return nil
		}
		return r
	}
	dir, server := shortDir(t), admin.New(config)
	out := served{client: admin.NewClient(dir)}
	for network, address := range map[string]string{"unix": filepath.Join(dir, admin.SocketName), "tcp": "127.0.0.1:0"} {
		listener, err := net.Listen(network, address)
		if err != nil {
			t.Fatal(err)
		}
		if network == "tcp" {
			out.tcp = listener.Addr().String()
		}
		ended := make(chan error, 1)
		go func() { ended <- server.Serve(listener) }()
		t.Cleanup(func() {
			if err := errors.Join(server.Shutdown(context.Background()), <-ended); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(out.client.Close)
	return out
}

// get asks over the socket.
func (s served) get(t *testing.T, path string) (*http.Response, string) {
	t.Helper()
	return s.getAs(t, "localhost", path)
}

func (s served) getAs(t *testing.T, host, path string) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost"+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Host = host
	response, err := s.client.Once(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}
