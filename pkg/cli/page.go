package cli

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/containerd/errdefs"
	"github.com/spf13/cobra"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/access"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/admin"
)

// newPage makes the command page.
func newPage(o *Options) *cobra.Command {
	var address string
	cmd := &cobra.Command{
		Use: "page", Short: "Show the status page with logs to a browser", Args: cobra.NoArgs, ValidArgsFunction: cobra.NoFileCompletions,
		Long: "page prints an address at which a browser finds the status page of the running docker-sd as its\n" +
			"owner sees it: with the logs of pods. The address has a secret and is good until page is\n" +
			"interrupted. Other users of this host do not get in without it, so keep it to yourself.",
		RunE: func(cmd *cobra.Command, _ []string) error { return o.page(cmd, address) },
	}
	cmd.Flags().StringVar(&address, "address", "127.0.0.1:0", "loopback address to listen at; with port 0 it is a free one")
	return cmd
}

// page passes on what a browser asks until the command's context ends.
func (o *Options) page(cmd *cobra.Command, address string) error {
	host, _, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err != nil || ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("--address is %q: it is a loopback address and a port, such as 127.0.0.1:8080; from elsewhere, forward the port by ssh: %w", address, errdefs.ErrInvalidArgument)
	}
	settings, _, err := o.Load()
	if err != nil {
		return err
	}
	client := admin.NewClient(settings.DataRootFolder)
	defer client.Close()
	if _, err := client.Info(cmd.Context()); err != nil {
		return err
	}
	listener, err := new(net.ListenConfig).Listen(cmd.Context(), "tcp", address)
	if err != nil {
		return err
	}
	secret := rand.Text()
	fmt.Fprintf(cmd.OutOrStdout(), "http://%s/%s/\n", listener.Addr(), secret)
	server := &http.Server{Handler: behind(secret, client.Pages()), ReadHeaderTimeout: pageTimeout, BaseContext: func(net.Listener) context.Context { return cmd.Context() }}
	defer context.AfterFunc(cmd.Context(), func() { _ = server.Close() })()
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

const pageTimeout = 10 * time.Second

// behind answers below a folder with a secret name alone, and only under names that no page
// of another site can have. A cookie would go to all servers of this host.
func behind(secret string, pages http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/"+secret+"/", http.StripPrefix("/"+secret, pages))
	hosts := access.NewHosts()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := hosts.Check(r); err != nil {
			http.Error(w, err.Error(), http.StatusMisdirectedRequest)
			return
		}
		mux.ServeHTTP(w, r)
	})
}
