package admin

import (
	"net/http"
	"net/http/httputil"
	"net/url"
)

// Pages answers a browser with the pages and views of the docker-sd at the socket, as its
// owner sees them. Routes into pods are not among them.
func (c *Client) Pages() http.Handler {
	proxy := &httputil.ReverseProxy{Transport: c.http.Transport, Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "http", Host: "localhost"})
		r.Out.Host = "localhost"
	}, ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
		http.Error(w, c.unreachable(err).Error(), http.StatusBadGateway)
	}}
	mux := http.NewServeMux()
	for _, path := range []string{"/{$}", "/page.css", "/page.js", "/icon.svg", pagePods, "/metrics", "/readyz", "/healthz",
		PathInfo, PathPods, PathPool, PathGPUs, PathEvents, PathUsage} {
		mux.Handle("GET "+path, proxy)
	}
	return mux
}
