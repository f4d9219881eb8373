package cli

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/admin"
)

// healthTimeout is what a docker-sd that works needs for an answer, many times over.
const healthTimeout = 8 * time.Second

// newHealth is for container engines and scripts: it asks the docker-sd that
// runs with the same configuration.
func newHealth(o *Options) *cobra.Command {
	return &cobra.Command{
		Use: "health", Short: "Ask the running docker-sd whether it answers", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			settings, _, err := o.Load()
			if err != nil {
				return err
			}
			network, address := settings.Listen()
			if settings.Access.TLS() {
				// It may want a certificate; the admin socket is this user's own.
				network, address = "unix", filepath.Join(settings.DataRootFolder, admin.SocketName)
			}
			if err := askHealth(cmd.Context(), network, address, settings.Access.CertFile != ""); err != nil {
				return err
			}
			_, err = fmt.Fprintln(cmd.OutOrStdout(), "ok")
			return err
		},
	}
}

// askHealth asks /healthz at an address where a docker-sd listens. It sends no
// secret and believes nothing but that there is an answer, so that certificates
// are not looked at. A server that wants one of the caller has answered by that.
func askHealth(ctx context.Context, network, address string, secure bool) error {
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	scheme := "http"
	if secure {
		scheme = "https"
	}
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, //nolint:gosec // see above
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, address)
		}}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://localhost/healthz", nil)
	if err != nil {
		return err
	}
	response, err := (&http.Client{Transport: transport}).Do(request)
	if alert := (*net.OpError)(nil); secure && errors.As(err, &alert) && alert.Op == "remote error" {
		return nil
	}
	if err != nil {
		return fmt.Errorf("docker-sd does not answer at %s: %w", address, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		text, err := io.ReadAll(io.LimitReader(response.Body, 1024))
		if err != nil {
			return err
		}
		return fmt.Errorf("docker-sd at %s is not well: %s: %s", address, response.Status, bytes.TrimSpace(text))
	}
	return nil
}
