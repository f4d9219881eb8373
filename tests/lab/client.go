package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/containerd/errdefs"
)

// callTimeout bounds the calls that answer at once on a healthy engine;
// imports and pulls are bounded by their caller.
const callTimeout = 30 * time.Second

// client speaks the few calls of the Engine API that the lab needs. It names no
// API version in its paths, so each engine answers with the newest it has.
type client struct {
	endpoint endpoint
	http     *http.Client
}

func newClient(e endpoint) *client {
	dialer := &net.Dialer{Timeout: 2 * time.Second}
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, e.network, e.address)
		},
	}
	return &client{endpoint: e, http: &http.Client{Transport: transport}}
}

// close drops idle connections.
func (c *client) close() {
	c.http.CloseIdleConnections()
}

// ping returns nil when an engine answers within limit.
func (c *client) ping(ctx context.Context, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return c.call(ctx, http.MethodGet, "/_ping", nil, nil, nil)
}

type imageInfo struct {
	ID     string `json:"Id"`
	Config struct {
		Labels map[string]string
	}
}

// image inspects an image; an unknown one is errdefs.ErrNotFound.
func (c *client) image(ctx context.Context, name string) (imageInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var info imageInfo
	err := c.call(ctx, http.MethodGet, "/images/"+name+"/json", nil, nil, &info)
	return info, err
}

// importImage makes an image of one layer from a tar stream, with its settings
// given as Dockerfile instructions.
func (c *client) importImage(ctx context.Context, repo, tag string, changes []string, layer io.Reader) error {
	query := url.Values{"fromSrc": {"-"}, "repo": {repo}, "tag": {tag}, "changes": changes}
	return c.progress(ctx, query, layer)
}

// pull takes an image from its registry.
func (c *client) pull(ctx context.Context, repo, tag string) error {
	return c.progress(ctx, url.Values{"fromImage": {repo}, "tag": {tag}}, nil)
}

// removeImage removes an image that no tag and no container uses.
func (c *client) removeImage(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	return c.call(ctx, http.MethodDelete, "/images/"+id, nil, nil, nil)
}

type containerInfo struct {
	ID     string `json:"Id"`
	Names  []string
	State  string
	Labels map[string]string
}

// containers lists all containers, stopped ones included.
func (c *client) containers(ctx context.Context) ([]containerInfo, error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	var list []containerInfo
	err := c.call(ctx, http.MethodGet, "/containers/json", url.Values{"all": {"1"}}, nil, &list)
	return list, err
}

// removeContainer kills and removes a container and its anonymous volumes. One
// that is gone already is a success.
func (c *client) removeContainer(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err := c.call(ctx, http.MethodDelete, "/containers/"+id, url.Values{"force": {"1"}, "v": {"1"}}, nil, nil)
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

// call makes one request and decodes the answer into out unless it is nil.
func (c *client) call(ctx context.Context, method, path string, query url.Values, body io.Reader, out any) (err error) {
	resp, err := c.do(ctx, method, path, query, body)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	if out == nil {
		_, err = io.Copy(io.Discard, resp.Body)
	} else {
		err = json.NewDecoder(resp.Body).Decode(out)
	}
	if err != nil {
		return fmt.Errorf("read the answer to %s %s from %s: %w", method, path, c.endpoint, err)
	}
	return nil
}

// progress calls /images/create, which reports a failure inside a stream of
// messages that started with status 200.
func (c *client) progress(ctx context.Context, query url.Values, body io.Reader) (err error) {
	resp, err := c.do(ctx, http.MethodPost, "/images/create", query, body)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, resp.Body.Close()) }()
	messages := json.NewDecoder(resp.Body)
	for {
		var message struct{ Error string }
		err := messages.Decode(&message)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read the progress of the image from %s: %w", c.endpoint, err)
		}
		if message.Error != "" {
			return errors.New(message.Error)
		}
	}
}

// do returns the response of a call that succeeded; its body must be closed.
func (c *client) do(ctx context.Context, method, path string, query url.Values, body io.Reader) (*http.Response, error) {
	target := url.URL{Scheme: "http", Host: "docker", Path: path, RawQuery: query.Encode()}
	req, err := http.NewRequestWithContext(ctx, method, target.String(), body)
	if err != nil {
		return nil, err
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/x-tar")
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("call the engine at %s: %w", c.endpoint, err)
	}
	if resp.StatusCode < 300 {
		return resp, nil
	}
	var message struct{ Message string }
	err = json.NewDecoder(io.LimitReader(resp.Body, 1<<16)).Decode(&message)
	if err != nil {
		message.Message = resp.Status
	}
	err = fmt.Errorf("%s %s: %s", method, path, message.Message)
	if resp.StatusCode == http.StatusNotFound {
		err = fmt.Errorf("%w: %w", errdefs.ErrNotFound, err)
	}
	return nil, errors.Join(err, resp.Body.Close())
}
