package clusterpeer

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// ServicePage is what the service answers at its root.
const ServicePage = "the service of the cluster\n"

// sumName is the trailer and header in which the sum of a body is told.
const sumName = "Body-Sum"

// stream is bytes that look random, and are cheap to make.
func stream(bytes int64) io.Reader {
	var seed [32]byte
	return io.LimitReader(rand.NewChaCha8(seed), bytes)
}

// Serve runs the HTTP service at an address until stop is called.
func Serve(address string) (stop func(), err error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, ServicePage) })
	mux.HandleFunc("GET /stream", func(w http.ResponseWriter, r *http.Request) {
		size, err := strconv.ParseInt(r.FormValue("bytes"), 10, 64)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Trailer", sumName)
		sum := sha256.New()
		if _, err := io.Copy(io.MultiWriter(w, sum), stream(size)); err != nil {
			return // the caller has left, and sees that the trailer is missing
		}
		w.Header().Set(sumName, hex.EncodeToString(sum.Sum(nil)))
	})
	mux.HandleFunc("PUT /sink", func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.New()
		n, err := io.Copy(sum, r.Body)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		fmt.Fprintf(w, "%d %x", n, sum.Sum(nil))
	})
	server := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	var serving sync.WaitGroup
	serving.Go(func() { _ = server.Serve(listener) }) // ends with stop
	return func() { server.Close(); serving.Wait() }, nil
}

// Client calls services.
type Client struct{ http *http.Client }

// NewClient asks a DNS server HOST:PORT for names; "" is the system's.
func NewClient(server string) *Client {
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	if server != "" {
		dialer.Resolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, server)
		}}
	}
	return &Client{&http.Client{Transport: &http.Transport{DialContext: dialer.DialContext, DisableKeepAlives: true, ResponseHeaderTimeout: time.Minute}}}
}

// Get returns a page.
func (c *Client) Get(ctx context.Context, url string) (string, error) {
	response, err := c.do(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	return string(text), err
}

func (c *Client) do(ctx context.Context, method, url string, body io.Reader) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return nil, err
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		response.Body.Close()
		return nil, fmt.Errorf("%s %s: %s", method, url, response.Status)
	}
	return response, nil
}

// Download fetches bytes of a service at a URL and compares their sum.
func (c *Client) Download(ctx context.Context, url string, bytes int64) error {
	response, err := c.do(ctx, http.MethodGet, url+"/stream?bytes="+strconv.FormatInt(bytes, 10), nil)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, response.Body)
	if err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); n != bytes || got != response.Trailer.Get(sumName) {
		return fmt.Errorf("%d bytes with the sum %s, want %d with %s", n, got, bytes, response.Trailer.Get(sumName))
	}
	return nil
}

// Upload sends bytes to a service at a URL and compares their sum.
func (c *Client) Upload(ctx context.Context, url string, bytes int64) error {
	sum := sha256.New()
	response, err := c.do(ctx, http.MethodPut, url+"/sink", io.TeeReader(stream(bytes), sum))
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, 1<<10))
	if want := fmt.Sprintf("%d %x", bytes, sum.Sum(nil)); err == nil && string(text) != want {
		err = fmt.Errorf("the service got %s, want %s", text, want)
	}
	return err
}

// ServeDNS answers for one name at an address HOST:PORT, by UDP and TCP, until stop is
// called. Other names do not exist.
func ServeDNS(address, name string, ip net.IP) (stop func(), err error) {
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) {
		reply := new(dns.Msg).SetReply(r)
		reply.Authoritative = true
		if question := r.Question[0]; !strings.EqualFold(question.Name, dns.Fqdn(name)) {
			reply.Rcode = dns.RcodeNameError
		} else if question.Qtype == dns.TypeA {
			reply.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: question.Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 5}, A: ip}}
		}
		_ = w.WriteMsg(reply) // a caller that has left asks again
	})
	packets, err := net.ListenPacket("udp", address)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, errors.Join(err, packets.Close())
	}
	udp, tcp := &dns.Server{PacketConn: packets, Handler: handler}, &dns.Server{Listener: listener, Handler: handler}
	var serving sync.WaitGroup
	serving.Go(func() { _ = udp.ActivateAndServe() }) // ends with stop
	serving.Go(func() { _ = tcp.ActivateAndServe() }) // likewise
	return func() { packets.Close(); listener.Close(); serving.Wait() }, nil
}
