package tracing

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/containerd/containerd/log"
	"github.com/containerd/errdefs"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc/credentials"
)

// Limits of the sending.
const (
	exportTimeout = 10 * time.Second
	batchTimeout  = 2 * time.Second
)

// Collector is who gets the spans, by OTLP over gRPC.
type Collector struct {
	// Endpoint is HOST:PORT (TELEMETRY_ENDPOINT). Without a CA it is spoken to in
	// plain text, as by interLink's other plugins (protocol 7.3); with https:// before
	// it, by TLS that the system's CAs vouch for.
	Endpoint string
	// CA, with Cert and Key of the client, are files of mutual TLS.
	CA, Cert, Key string
	// InsecureSkipVerify accepts any certificate of the collector.
	InsecureSkipVerify bool
}

func (c Collector) options(ctx context.Context) ([]otlptracegrpc.Option, error) {
	address, secure := strings.CutPrefix(c.Endpoint, "https://")
	address = strings.TrimSuffix(strings.TrimPrefix(address, "http://"), "/")
	options := []otlptracegrpc.Option{otlptracegrpc.WithEndpoint(address), otlptracegrpc.WithTimeout(exportTimeout)}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("TELEMETRY_ENDPOINT %q: want HOST:PORT: %w", c.Endpoint, errdefs.ErrInvalidArgument)
	}
	if c.CA == "" && !secure {
		if !isLoopback(host) {
			log.G(ctx).WithField("endpoint", c.Endpoint).
				Warn("traces leave this host in plain text: set TELEMETRY_CA_CRT_FILEPATH, or https:// in TELEMETRY_ENDPOINT")
		}
		return append(options, otlptracegrpc.WithInsecure()), nil
	}
	config, err := c.tls()
	if err != nil {
		return nil, err
	}
	if c.InsecureSkipVerify {
		log.G(ctx).WithField("endpoint", c.Endpoint).Warn("any certificate of the trace collector is accepted: TELEMETRY_INSECURE_SKIP_VERIFY is set")
	}
	return append(options, otlptracegrpc.WithTLSCredentials(credentials.NewTLS(config))), nil
}

func (c Collector) tls() (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: c.InsecureSkipVerify} //nolint:gosec // asked for by name
	if c.CA == "" {
		return config, nil
	}
	pem, err := os.ReadFile(c.CA)
	if err != nil {
		return nil, fmt.Errorf("TELEMETRY_CA_CRT_FILEPATH: %w", err)
	}
	config.RootCAs = x509.NewCertPool()
	if !config.RootCAs.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("TELEMETRY_CA_CRT_FILEPATH %s holds no certificate: %w", c.CA, errdefs.ErrInvalidArgument)
	}
	pair, err := tls.LoadX509KeyPair(c.Cert, c.Key)
	if err != nil {
		return nil, fmt.Errorf("TELEMETRY_CLIENT_CRT_FILEPATH %s with TELEMETRY_CLIENT_KEY_FILEPATH: %w", c.Cert, err)
	}
	config.Certificates = []tls.Certificate{pair}
	return config, nil
}

func isLoopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.IsLoopback()
}

// quiet logs the first failure of a streak, and the end of it. It belongs to the
// one goroutine that exports.
type quiet struct {
	sdk.SpanExporter
	endpoint string
	// sending ends when nobody waits for what is being sent any more.
	sending context.Context
	failing bool
}

// ExportSpans is the exporter's; an error would be logged by the SDK each time.
func (q *quiet) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(q.sending, cancel)()
	err := q.SpanExporter.ExportSpans(ctx, spans)
	logger := log.L.WithField("endpoint", q.endpoint)
	switch {
	case err != nil && !q.failing:
		logger.WithError(err).Warn("traces cannot be sent, they are dropped until the collector answers")
	case err == nil && q.failing:
		logger.Info("traces are sent again")
	}
	q.failing = err != nil
	return nil
}
