package probes_test

import (
	"net"
	"net/http"
	"net/http/httptest"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/health"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/probes"
)

// serveGRPC serves until the test ends and returns its port.
func serveGRPC(t *testing.T, register func(*grpc.Server), options ...grpc.ServerOption) int32 {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(options...)
	register(s)
	ended := make(chan error, 1)
	go func() { ended <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		if err := <-ended; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return int32(l.Addr().(*net.TCPAddr).Port)
}

func withHealth(s *grpc.Server) {
	h := health.NewServer()
	h.SetServingStatus("up", healthpb.HealthCheckResponse_SERVING)
	h.SetServingStatus("down", healthpb.HealthCheckResponse_NOT_SERVING)
	healthpb.RegisterHealthServer(s, h)
}

func TestProbeGRPC(t *testing.T) {
	tlsServer := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(tlsServer.Close)
	certificate := tlsServer.TLS.Certificates[0]

	serving := serveGRPC(t, withHealth)
	bare := serveGRPC(t, func(*grpc.Server) {})
	secure := serveGRPC(t, withHealth, grpc.Creds(credentials.NewServerTLSFromCert(&certificate)))
	l, closed := listen(t, "127.0.0.1:0")
	l.Close()

	plain, encrypted := v1.GRPCProbeModePlaintext, v1.GRPCProbeModeTLS
	tests := []struct {
		name    string
		port    int32
		service string
		mode    *v1.GRPCProbeMode
		outcome probes.Outcome
		message string
	}{
		{"whole server", serving, "", nil, probes.Success, ""},
		{"service", serving, "up", &plain, probes.Success, ""},
		{"not serving", serving, "down", nil, probes.Failure, `service "down" answered NOT_SERVING`},
		{"unknown service", serving, "other", nil, probes.Failure, "unknown service"},
		{"no health service", bare, "", nil, probes.Failure, "does not implement grpc.health.v1.Health"},
		{"TLS", secure, "up", &encrypted, probes.Success, ""},
		{"plaintext to TLS", secure, "up", nil, probes.Failure, "the health request failed"},
		{"closed port", int32(closed), "", nil, probes.Failure, "connection refused"},
		{"bad port", 0, "", nil, probes.Unknown, `port 0 is neither`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p := &v1.Probe{TimeoutSeconds: 10, ProbeHandler: v1.ProbeHandler{
				GRPC: &v1.GRPCAction{Port: tt.port, Service: &tt.service, Mode: tt.mode},
			}}
			wantResult(t, target("127.0.0.1", nil).Probe(t.Context(), p), tt.outcome, tt.message)
		})
	}
}

func TestProbeGRPCTimeout(t *testing.T) {
	// A listener that never answers: the connection waits in its backlog.
	_, port := listen(t, "127.0.0.1:0")
	p := &v1.Probe{ProbeHandler: v1.ProbeHandler{GRPC: &v1.GRPCAction{Port: int32(port)}}}
	wantResult(t, target("127.0.0.1", nil).Probe(t.Context(), p), probes.Failure, "timed out after 1s")
}
