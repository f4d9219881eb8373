package admin

import "net/http"

// Do sends a request over the socket.
func (c *Client) Do(r *http.Request) (*http.Response, error) { return c.http.Do(r) }

// Once sends a request over the socket and follows no Location.
func (c *Client) Once(r *http.Request) (*http.Response, error) { return c.http.Transport.RoundTrip(r) }
