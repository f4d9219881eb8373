package probes

import (
	"context"
	"crypto/tls"
	"net"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	health "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// probeGRPC asks the health service (grpc.health.v1) of the container; only SERVING is a success.
func (t Target) probeGRPC(ctx context.Context, a *v1.GRPCAction) Result {
	port := intstr.FromInt32(a.Port)
	host, _, err := t.address("", port)
	if err != nil {
		return unknown("%v", err)
	}
	conn, err := t.connectGRPC(net.JoinHostPort(host, port.String()), a.Mode)
	if err != nil {
		return failure("prepare the connection: %v", err)
	}
	defer conn.Close()

	service := ""
	if a.Service != nil {
		service = *a.Service
	}
	answer, err := health.NewHealthClient(conn).Check(ctx, &health.HealthCheckRequest{Service: service})
	switch {
	case status.Code(err) == codes.Unimplemented:
		return failure("the server does not implement grpc.health.v1.Health: %s", status.Convert(err).Message())
	case err != nil:
		return failure("the health request failed: %v", err)
	case answer.GetStatus() != health.HealthCheckResponse_SERVING:
		return failure("service %q answered %s", service, answer.GetStatus())
	default:
		return success("")
	}
}

// connectGRPC is lazy: the connection is made by the first request. The address is dialled as it
// is: no name lookup, nothing in between.
func (t Target) connectGRPC(address string, mode *v1.GRPCProbeMode) (*grpc.ClientConn, error) {
	secure := insecure.NewCredentials()
	if mode != nil && *mode == v1.GRPCProbeModeTLS {
		// Not verified, which is how Kubernetes defines this mode.
		secure = credentials.NewTLS(&tls.Config{InsecureSkipVerify: true}) // #nosec G402
	}
	podIP := t.PodIP()
	return grpc.NewClient("passthrough:///"+address,
		grpc.WithTransportCredentials(secure),
		grpc.WithContextDialer(func(ctx context.Context, to string) (net.Conn, error) {
			return dialer(podIP).DialContext(ctx, "tcp", to)
		}),
		grpc.WithNoProxy(),
		grpc.WithUserAgent("kube-probe/"+agentVersion))
}
