// Command reach tries to reach an address from a pod: reach tcp HOST:PORT says yes
// if a web server answers there, reach udp HOST:PORT TEXT FROM sends a datagram with
// a source of its choice, and reach name NAME SERVER says yes if the server knows it.
package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"
)

// limit is long for what answers at all.
const limit = 5 * time.Second

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "reach:", err)
		os.Exit(1)
	}
	fmt.Println("yes")
}

func run(args []string) error {
	dialer := net.Dialer{Timeout: limit}
	switch args[0] {
	case "tcp":
		client := http.Client{Timeout: limit, Transport: &http.Transport{DialContext: dialer.DialContext}}
		answer, err := client.Get("http://" + args[1] + "/")
		if err != nil {
			return err
		}
		return answer.Body.Close()
	case "udp":
		from, err := net.ResolveUDPAddr("udp4", args[3])
		if err != nil {
			return err
		}
		dialer.LocalAddr = from
		conn, err := dialer.Dial("udp4", args[1])
		if err != nil {
			return err
		}
		if _, err := conn.Write([]byte(args[2])); err != nil {
			return err
		}
		return conn.Close()
	case "name":
		resolver := net.Resolver{PreferGo: true, Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return dialer.DialContext(ctx, network, args[2])
		}}
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		defer cancel()
		_, err := resolver.LookupHost(ctx, args[1])
		return err
	}
	return fmt.Errorf("unknown attempt %q", args[0])
}
