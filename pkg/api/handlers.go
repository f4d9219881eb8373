package api

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/interlink"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podlogs"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/volumes"
)

// create takes a pod from a body of one of the two forms.
func (s *Server) create(decode func([]byte) (interlink.CreateRequest, error), heard *ears) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		body, err := read(s, w, r, createdValue, decode)
		if err != nil {
			return err
		}
		defer body.free()
		heard.created(r, body.value.List)
		return s.admitPod(w, r, &body.value)
	}
}

func (s *Server) admitPod(w http.ResponseWriter, r *http.Request, request *interlink.CreateRequest) error {
	s.config.Observer.About(r.Context(), string(request.Pod.UID))
	if err := s.awaitReady(r.Context()); err != nil {
		return err
	}
	var data volumes.Data
	for _, c := range append(request.Containers, request.InitContainers...) {
		data.Add(c.ConfigMaps, c.Projected, c.Secrets)
		data.AddClaims(c.Claims, c.Volumes)
	}
	// An admitted pod lives on when its caller hangs up.
	jid, err := s.pods.Create(context.WithoutCancel(r.Context()), &request.Pod, data)
	if err != nil {
		return err
	}
	return answer(w, interlink.CreateAnswer{PodUID: string(request.Pod.UID), PodJID: jid})
}

// pinglink answers a Virtual Kubelet, which asks by this route of its own.
func (s *Server) pinglink(w http.ResponseWriter, r *http.Request) error {
	s.interlinkEars.pinged(r)
	return answer(w, s.config.Ping())
}

// statusOrPing answers interLink's API server, which pings with an empty list.
func (s *Server) statusOrPing(w http.ResponseWriter, r *http.Request) error {
	body, err := read(s, w, r, otherValue, interlink.DecodeStatus)
	if err != nil {
		return err
	}
	defer body.free()
	if len(body.value) == 0 {
		s.pluginEars.pinged(r)
		return answer(w, s.config.Ping())
	}
	s.pluginEars.polled(r)
	return s.statusOf(w, body.value)
}

// status answers a Virtual Kubelet.
func (s *Server) status(w http.ResponseWriter, r *http.Request) error {
	body, err := read(s, w, r, otherValue, interlink.DecodeStatus)
	if err != nil {
		return err
	}
	defer body.free()
	s.interlinkEars.polled(r)
	return s.statusOf(w, body.value)
}

func (s *Server) statusOf(w http.ResponseWriter, asked []*v1.Pod) error {
	select {
	case <-s.ready:
	default:
		// The caller keeps what it knows and asks again (protocol 2.3).
		return fmt.Errorf("docker-sd is taking over the pods of its last run: %w", errdefs.ErrUnavailable)
	}
	out := make([]interlink.PodStatus, 0, len(asked))
	for _, pod := range asked {
		report, known := s.pods.Status(pod)
		if !known {
			continue
		}
		out = append(out, interlink.PodStatus{Name: pod.Name, UID: string(pod.UID), Namespace: pod.Namespace,
			JID: report.JID, Containers: report.Containers, InitContainers: report.InitContainers})
	}
	return answer(w, out)
}

// deletedText is what operators and tests of the 2024 plugin look for (protocol 8.1).
const deletedText = "All containers for submitted Pods have been deleted"

func (s *Server) delete(w http.ResponseWriter, r *http.Request) error {
	body, err := read(s, w, r, otherValue, interlink.DecodeDelete)
	if err != nil {
		return err
	}
	defer body.free()
	pod := body.value
	s.config.Observer.About(r.Context(), string(pod.UID))
	if err := s.awaitReady(r.Context()); err != nil {
		return err
	}
	if err := s.pods.Delete(context.WithoutCancel(r.Context()), pod.UID, pod.DeletionGracePeriodSeconds); err != nil {
		return err
	}
	_, err = io.WriteString(w, deletedText)
	return gone(err)
}

func (s *Server) logs(w http.ResponseWriter, r *http.Request) error {
	body, err := read(s, w, r, otherValue, interlink.DecodeLogs)
	if err != nil {
		return err
	}
	request := body.value
	body.free() // a log may be followed for days
	query, err := logQuery(request, time.Now())
	if err != nil {
		return err
	}
	s.config.Observer.About(r.Context(), request.PodUID)
	if err := s.awaitReady(r.Context()); err != nil {
		return err
	}
	source, err := s.pods.FindLogs(query)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	if query.Follow {
		return s.follow(w, r, source)
	}
	out := newCountingWriter(w, false)
	buffered := bufio.NewWriterSize(out, logBuffer)
	if err := source.Copy(r.Context(), buffered); err != nil {
		return abort(r.Context(), out, err)
	}
	return gone(buffered.Flush())
}

// logBuffer gathers lines into writes that are worth a system call.
const logBuffer = 64 << 10

// follow sends the headers at once, since the caller waits 120 s for them, and
// then every piece as it comes (protocol 3.3).
func (s *Server) follow(w http.ResponseWriter, r *http.Request, source *podlogs.Source) error {
	if !s.limits.followers.TryAcquire(1) {
		return fmt.Errorf("%d logs are followed already, as many as MaxLogFollowers allows: %w",
			s.config.MaxFollowers, errdefs.ErrResourceExhausted)
	}
	defer s.limits.followers.Release(1)
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(s.draining, cancel)()
	w.WriteHeader(http.StatusOK)
	out := newCountingWriter(w, true)
	if err := out.control.Flush(); err != nil {
		return gone(err)
	}
	out.n++ // the headers are out: from here an error can only cut the connection
	if err := source.Copy(ctx, out); err != nil {
		return abort(ctx, out, err)
	}
	return nil
}

// abort ends a log that broke: with a status while that is possible, else by
// cutting the connection, because text would end up among the user's lines.
func abort(ctx context.Context, out *countingWriter, err error) error {
	if out.n == 0 {
		return err
	}
	if ctx.Err() == nil {
		log.G(ctx).WithError(err).Warn("a log could not be read to its end")
	}
	panic(http.ErrAbortHandler)
}

// countingWriter knows whether anything was sent; with flush it sends each
// piece at once.
type countingWriter struct {
	w       io.Writer
	n       int64
	flush   bool
	control *http.ResponseController
}

func newCountingWriter(w http.ResponseWriter, flush bool) *countingWriter {
	return &countingWriter{w: w, flush: flush, control: http.NewResponseController(w)}
}

func (c *countingWriter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	if err == nil && c.flush {
		err = c.control.Flush()
	}
	return n, err
}

// logQuery checks what older callers do not (protocol 3.2).
func logQuery(request interlink.LogRequest, now time.Time) (podlogs.Query, error) {
	o := request.Opts
	query := podlogs.Query{UID: types.UID(request.PodUID), Namespace: request.Namespace, Container: request.ContainerName,
		Tail: o.Tail, Bytes: o.Bytes, Timestamps: o.Timestamps, Follow: o.Follow, Previous: o.Previous}
	switch {
	case o.Tail < 0 || o.Bytes < 0 || o.SinceSeconds < 0:
		return query, fmt.Errorf("the options Tail, Bytes and SinceSeconds must not be negative: %w", errdefs.ErrInvalidArgument)
	case o.SinceSeconds > 0 && !o.SinceTime.IsZero():
		return query, fmt.Errorf("SinceSeconds and SinceTime exclude each other: %w", errdefs.ErrInvalidArgument)
	case o.SinceSeconds > maxSinceSeconds:
	case o.SinceSeconds > 0:
		query.Since = now.Add(-time.Duration(o.SinceSeconds) * time.Second)
	default:
		query.Since = o.SinceTime
	}
	return query, nil
}

// maxSinceSeconds is a century; more selects everything, and must not overflow.
const maxSinceSeconds = 100 * 365 * 24 * 3600

// awaitReady holds a call back until earlier pods are taken over: a create that
// is refused meanwhile would be a failed pod (protocol 1.4).
func (s *Server) awaitReady(ctx context.Context) error {
	select {
	case <-s.ready:
		return nil
	default:
	}
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	select {
	case <-s.ready:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("docker-sd is still taking over the pods of its last run: %w", ctx.Err())
	}
}

// answer sends a 200 with JSON, the only answer that interLink counts as success.
func answer(w http.ResponseWriter, value any) error {
	body, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	w.Header().Set("Content-Type", "application/json")
	_, err = w.Write(body)
	return gone(err)
}
