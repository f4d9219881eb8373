package probes

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	v1 "k8s.io/api/core/v1"
)

// agentVersion is the Kubernetes version that the user agent names, the one of the pod types in use.
const agentVersion = "1.37"

// maxRedirects is the number of redirects followed within one host, as in net/http and kubelet.
const maxRedirects = 10

// probeHTTP asks for a page. Codes from 200 to 399 are a success. A redirect to another host is not followed and
// counts as a success with a warning (kubelet's rule).
func (t Target) probeHTTP(ctx context.Context, a *v1.HTTPGetAction) Result {
	req, err := t.request(ctx, a, "probe")
	if err != nil {
		return unknown("%v", err)
	}
	code, err := get(t.transport(a), req)
	switch {
	case err != nil:
		return failure("GET %s: %v", pageOf(req.URL), err)
	case code < http.StatusOK || code >= http.StatusBadRequest:
		return failure("GET %s: answered with status code %d", pageOf(req.URL), code)
	case code >= http.StatusMultipleChoices:
		return success(fmt.Sprintf("GET %s: answered with status code %d, a redirect that was not followed",
			pageOf(req.URL), code))
	default:
		return success("")
	}
}

// request builds the GET of a probe or of a hook; purpose is the word that the user agent names.
func (t Target) request(ctx context.Context, a *v1.HTTPGetAction, purpose string) (*http.Request, error) {
	host, port, err := t.address(a.Host, a.Port)
	if err != nil {
		return nil, err
	}
	page := pageURL(a.Path)
	page.Scheme = "http"
	if a.Scheme != "" {
		page.Scheme = strings.ToLower(string(a.Scheme))
	}
	page.Host = net.JoinHostPort(host, strconv.Itoa(port))

	req, err := http.NewRequestWithContext(ctx, http.MethodGet, page.String(), nil)
	if err != nil {
		return nil, fmt.Errorf("build the request: %w", err)
	}
	for _, h := range a.HTTPHeaders {
		req.Header.Add(h.Name, h.Value)
	}
	defaultHeaders(req.Header, purpose)
	req.Host = req.Header.Get("Host")
	return req, nil
}

// defaultHeaders sets what kubelet sets. A header given empty is not sent.
func defaultHeaders(h http.Header, purpose string) {
	if _, given := h["User-Agent"]; !given {
		h.Set("User-Agent", "kube-"+purpose+"/"+agentVersion)
	}
	if _, given := h["Accept"]; !given {
		h.Set("Accept", "*/*")
	} else if h.Get("Accept") == "" {
		h.Del("Accept")
	}
}

// pageURL keeps only the path and the query: nothing in the path of a handler can name another server.
func pageURL(path string) *url.URL {
	u, err := url.Parse(path)
	if err != nil || u.Scheme != "" || u.Host != "" {
		// Passed on as it is, which is what kubelet does with a path that is no reference.
		return &url.URL{Path: path}
	}
	return &url.URL{Path: u.Path, RawPath: u.RawPath, RawQuery: u.RawQuery}
}

// pageOf names a page for messages, without the query, which may hold a token.
func pageOf(u *url.URL) string {
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// transport makes every request on a connection of its own, never through a proxy: what the environment of the
// daemon says about proxies is not meant for pods.
func (t Target) transport(a *v1.HTTPGetAction) *http.Transport {
	tr := &http.Transport{
		DialContext: dialer(t.PodIP()).DialContext,
		// Certificates are not verified: the pod is reached by its address, for which it can hardly have one, and
		// the probe asks whether it answers, not who it is. This is the documented behaviour of Kubernetes.
		TLSClientConfig:    &tls.Config{InsecureSkipVerify: true}, // #nosec G402
		ForceAttemptHTTP2:  true,
		DisableKeepAlives:  true,
		DisableCompression: true,
	}
	if a.Protocol != nil && *a.Protocol == v1.HTTPProtocolHTTP2 {
		tr.Protocols = new(http.Protocols)
		tr.Protocols.SetUnencryptedHTTP2(true)
	}
	return tr
}

// get sends the request and returns the status code of the last answer. The body is read, up to a bound, because a
// container that stalls within its answer does not work.
func get(tr *http.Transport, req *http.Request) (int, error) {
	defer tr.CloseIdleConnections()
	client := &http.Client{Transport: tr, CheckRedirect: sameHost}
	res, err := client.Do(req)
	if err != nil {
		// The wrapping of net/http repeats the address, query included.
		if wrapped := (*url.Error)(nil); errors.As(err, &wrapped) {
			err = wrapped.Err
		}
		return 0, err
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, io.LimitReader(res.Body, maxMessage)); err != nil {
		return 0, fmt.Errorf("read the answer: %w", err)
	}
	return res.StatusCode, nil
}

// sameHost lets the client follow redirects within the host it first asked; any other is the answer.
func sameHost(req *http.Request, via []*http.Request) error {
	if req.URL.Hostname() != via[0].URL.Hostname() {
		return http.ErrUseLastResponse
	}
	if len(via) >= maxRedirects {
		return fmt.Errorf("stopped after %d redirects", maxRedirects)
	}
	return nil
}
