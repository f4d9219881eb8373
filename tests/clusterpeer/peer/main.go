// Command peer is the cluster's side of a tunnel, for tests: it runs in the network
// namespace that clusterpeer.Start makes, and is told over a unix socket what to do. With
// the word "fetch" it is an HTTP client instead, with "page" a service, with "proxy" a proxy.
package main

import (
	"context"
	"crypto/tls"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/intertwin-eu/interlink-docker-plugin/tests/clusterpeer"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}

// fetchLimit bounds one transfer.
const fetchLimit = 10 * time.Minute

func run(args []string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if len(args) > 1 {
		switch args[0] {
		case "fetch":
			return transfer(ctx, args[1:])
		case "page":
			return page(ctx, args[1])
		case "proxy":
			return proxy(ctx, args[1])
		}
	}
	return serve(ctx, args)
}

// page runs the service at an address.
func page(ctx context.Context, address string) error {
	stop, err := clusterpeer.Serve(address)
	if err != nil {
		return err
	}
	<-ctx.Done()
	stop()
	return nil
}

// proxy runs an HTTP proxy at an address, with the user u and the password p.
func proxy(ctx context.Context, address string) error {
	server := &http.Server{Addr: address, Handler: &clusterpeer.Proxy{User: "u", Password: "p"}, ReadHeaderTimeout: time.Minute}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	if err := server.ListenAndServe(); ctx.Err() == nil {
		return err
	}
	return nil
}

// transfer exchanges data with a service and prints what came of it.
func transfer(ctx context.Context, args []string) error {
	set := flag.NewFlagSet("fetch", flag.ContinueOnError)
	download := set.Int64("download", 0, "bytes to download and compare by their sum")
	upload := set.Int64("upload", 0, "bytes to upload and compare by their sum")
	dns := set.String("dns", "", "address of the DNS server to ask")
	probe := set.Bool("probe", false, "connect only")
	if err := set.Parse(args); err != nil {
		return err
	}
	if *probe {
		conn, err := net.Dial("tcp", set.Arg(0))
		if err != nil {
			return err
		}
		return conn.Close()
	}
	ctx, cancel := context.WithTimeout(ctx, fetchLimit)
	defer cancel()
	client := clusterpeer.NewClient(*dns)
	began := time.Now()
	var err error
	switch {
	case *download > 0:
		err = client.Download(ctx, set.Arg(0), *download)
	case *upload > 0:
		err = client.Upload(ctx, set.Arg(0), *upload)
	default:
		var text string
		text, err = client.Get(ctx, set.Arg(0))
		fmt.Print(text)
		return err
	}
	if err == nil {
		fmt.Printf("%.3f\n", time.Since(began).Seconds())
	}
	return err
}

// serve runs the services until it is told to end.
func serve(ctx context.Context, args []string) error {
	set := flag.NewFlagSet("peer", flag.ContinueOnError)
	dir := set.String("dir", "", "folder of the control socket")
	listen := set.String("listen", "", "address of the wstunnel server")
	prefix := set.String("prefix", "", "path prefix of the wstunnel server")
	cert := set.String("cert", "", "file with the certificate of the wstunnel server")
	key := set.String("key", "", "file with its key")
	dns := set.String("dns", "", "address of the DNS server")
	name := set.String("name", "", "name that the DNS server knows")
	service := set.String("service", "", "address of the HTTP service that has that name, HOST:PORT")
	if err := set.Parse(args); err != nil {
		return err
	}
	var config *tls.Config
	if *cert != "" {
		pair, err := tls.LoadX509KeyPair(*cert, *key)
		if err != nil {
			return err
		}
		config = &tls.Config{Certificates: []tls.Certificate{pair}}
	}
	s := &clusterpeer.Server{Prefix: *prefix}
	if err := s.Start(*listen, config); err != nil {
		return err
	}
	defer s.Stop()
	if *service != "" {
		stop, err := clusterpeer.Serve(*service)
		if err != nil {
			return err
		}
		defer stop()
	}
	if *dns != "" {
		host, _, err := net.SplitHostPort(*service)
		if err != nil {
			return err
		}
		stop, err := clusterpeer.ServeDNS(*dns, *name, net.ParseIP(host))
		if err != nil {
			return err
		}
		defer stop()
	}
	control, err := net.Listen("unix", filepath.Join(*dir, clusterpeer.ControlSocket))
	if err != nil {
		return err
	}
	server := &http.Server{Handler: routes(s, *listen, config), ReadHeaderTimeout: time.Minute}
	defer context.AfterFunc(ctx, func() { server.Close() })()
	if err := server.Serve(control); err != nil && ctx.Err() == nil {
		return err
	}
	return nil
}

// routes of the control socket.
func routes(s *clusterpeer.Server, listen string, config *tls.Config) http.Handler {
	mux := http.NewServeMux()
	for name, do := range map[string]func() error{
		"cut":    func() error { s.Cut(); return nil },
		"mute":   func() error { s.Mute(true); return nil },
		"unmute": func() error { s.Mute(false); return nil },
		"stop":   func() error { s.Stop(); return nil },
		"start":  func() error { return s.Start(listen, config) },
	} {
		mux.HandleFunc("POST /"+name, func(w http.ResponseWriter, _ *http.Request) {
			if err := do(); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
			}
		})
	}
	mux.HandleFunc("POST /refuse", func(w http.ResponseWriter, r *http.Request) {
		status, err := strconv.Atoi(r.FormValue("status"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		s.Refuse(status)
	})
	mux.HandleFunc("GET /waiting", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, s.Waiting(r.FormValue("address")))
	})
	mux.HandleFunc("GET /tunnels", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, s.Tunnels()) })
	mux.HandleFunc("GET /requests", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, s.Requests()) })
	mux.HandleFunc("GET /fetch", func(w http.ResponseWriter, r *http.Request) {
		text, err := clusterpeer.NewClient("").Get(r.Context(), r.FormValue("url"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		_, _ = io.WriteString(w, text) // a caller that has left asks again
	})
	return mux
}
