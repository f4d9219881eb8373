package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"github.com/spf13/cobra"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/admin"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/interlink"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
)

// logFlags are those of kubectl logs.
type logFlags struct {
	container                    string
	follow, previous, timestamps bool
	tail                         int
	since                        time.Duration
	// cert and key are what docker-sd may want to see (TLSClientCAFile).
	cert, key string
}

// newLogs makes the command logs.
func newLogs(o *Options) *cobra.Command {
	var f logFlags
	cmd := &cobra.Command{
		Use: "logs NAMESPACE/POD|UID", Short: "Print the log of a pod's container", Args: cobra.ExactArgs(1),
		Long: "logs prints what a container of a pod has written, asking the running docker-sd as interLink\n" +
			"does. Without --container it is the pod's first one.",
		ValidArgsFunction: func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
			if len(args) > 0 {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			return o.podNames(cmd.Context()), cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error { return o.logs(cmd, args[0], f) },
	}
	flags := cmd.Flags()
	flags.StringVarP(&f.container, "container", "c", "", "name of the container, or init container")
	flags.BoolVarP(&f.follow, "follow", "f", false, "go on printing what is written")
	flags.BoolVarP(&f.previous, "previous", "p", false, "the log of the run before a restart")
	flags.BoolVar(&f.timestamps, "timestamps", false, "put the time before each line")
	flags.IntVar(&f.tail, "tail", -1, "print only the last lines, -1 for all")
	flags.DurationVar(&f.since, "since", 0, "print only what was written in this time, such as 10m")
	flags.StringVar(&f.cert, "client-certificate", "", "certificate to show where TLSClientCAFile asks for one (default TLSCertFile)")
	flags.StringVar(&f.key, "client-key", "", "its key")
	cmd.MarkFlagsRequiredTogether("client-certificate", "client-key")
	complete := func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return o.containerNames(cmd.Context(), args), cobra.ShellCompDirectiveNoFileComp
	}
	if err := cmd.RegisterFlagCompletionFunc("container", complete); err != nil {
		panic(err) // the flag is there
	}
	return cmd
}

// logs finds the pod by its name and prints the log of one of its containers.
func (o *Options) logs(cmd *cobra.Command, name string, f logFlags) error {
	settings, _, err := o.Load()
	if err != nil {
		return err
	}
	client := admin.NewClient(settings.DataRootFolder)
	defer client.Close()
	list, err := client.Pods(cmd.Context())
	if err != nil {
		return err
	}
	pod, err := findPod(list.Pods, name)
	if err != nil {
		return err
	}
	request, err := logRequest(pod, f, time.Now())
	if err != nil {
		return err
	}
	if f.container == "" && len(pod.Containers) > 1 {
		fmt.Fprintf(cmd.ErrOrStderr(), "the log of container %s; the pod has %s\n", request.ContainerName, strings.Join(containersOf(pod), ", "))
	}
	if f.tail == 0 && !f.follow {
		return nil
	}
	caller, err := newCaller(settings, f.cert, f.key)
	if err != nil {
		return err
	}
	defer caller.close()
	err = caller.logs(cmd.Context(), request, cmd.OutOrStdout())
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// findPod finds a pod by its UID, by NAMESPACE/NAME, or by a name that no other
// pod has.
func findPod(list []podstatus.View, name string) (podstatus.View, error) {
	namespace, short, qualified := strings.Cut(name, "/")
	var found []podstatus.View
	for _, p := range list {
		switch {
		case string(p.UID) == name:
			return p, nil
		case qualified && p.Namespace == namespace && p.Name == short, !qualified && p.Name == name:
			found = append(found, p)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return podstatus.View{}, unknownPod(list, name)
	}
	return podstatus.View{}, fmt.Errorf("docker-sd has %d pods %q: give the UID of one, as docker-sd pods lists them: %w", len(found), name, errdefs.ErrInvalidArgument)
}

// containersOf lists a pod's containers, the init containers last.
func containersOf(p podstatus.View) []string {
	var names, inits []string
	for _, c := range p.Containers {
		if c.Init {
			inits = append(inits, c.Name)
		} else {
			names = append(names, c.Name)
		}
	}
	return append(names, inits...)
}

// logRequest is what interLink would send for these flags. Errors are
// errdefs.ErrInvalidArgument.
func logRequest(p podstatus.View, f logFlags, now time.Time) (interlink.LogRequest, error) {
	names := containersOf(p)
	request := interlink.LogRequest{Namespace: p.Namespace, PodUID: string(p.UID), PodName: p.Name, ContainerName: f.container,
		Opts: interlink.LogOptions{Tail: max(f.tail, 0), Timestamps: f.timestamps, Follow: f.follow, Previous: f.previous}}
	switch {
	case f.container == "" && len(names) > 0:
		request.ContainerName = names[0]
	case !slices.Contains(names, f.container):
		return request, unknownContainer(p, f.container)
	}
	switch {
	case f.tail < -1:
		return request, fmt.Errorf("--tail is %d: it is a number of lines, or -1 for all: %w", f.tail, errdefs.ErrInvalidArgument)
	case f.since < 0:
		return request, fmt.Errorf("--since is %s: it is a time such as 10m: %w", f.since, errdefs.ErrInvalidArgument)
	case f.tail == 0:
		request.Opts.SinceTime = now // zero means all on the wire (protocol 3.1)
	case f.since > 0:
		request.Opts.SinceTime = now.Add(-f.since)
	}
	return request, nil
}

// completionTimeout is what a shell may be kept waiting.
const completionTimeout = 2 * time.Second

// list asks for the pods whose names a shell offers; without a docker-sd there are none.
func (o *Options) list(ctx context.Context) []podstatus.View {
	settings, _, err := o.Load()
	if err != nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, completionTimeout)
	defer cancel()
	client := admin.NewClient(settings.DataRootFolder)
	defer client.Close()
	list, err := client.Pods(ctx)
	if err != nil {
		return nil
	}
	return list.Pods
}

func (o *Options) podNames(ctx context.Context) []cobra.Completion {
	var out []cobra.Completion
	for _, p := range o.list(ctx) {
		out = append(out, cobra.CompletionWithDesc(p.Namespace+"/"+p.Name, string(p.Phase)))
	}
	return out
}

// containerNames are what a shell offers for --container of the pod that args name.
func (o *Options) containerNames(ctx context.Context, args []string) []cobra.Completion {
	if len(args) == 0 {
		return nil
	}
	p, err := findPod(o.list(ctx), args[0])
	if err != nil {
		return nil
	}
	return containersOf(p)
}

// logs copies a log as it comes.
func (c *caller) logs(ctx context.Context, request interlink.LogRequest, out io.Writer) error {
	body, err := json.Marshal(request)
	if err != nil {
		return err
	}
	call, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+"/getLogs", bytes.NewReader(body))
	if err != nil {
		return err
	}
	if c.token != "" {
		call.Header.Set("Authorization", "Bearer "+c.token)
	}
	response, err := c.http.Do(call)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("docker-sd at %s belongs to another user, become that one or root: %w", c.address, errdefs.ErrPermissionDenied)
	case err != nil:
		return fmt.Errorf("ask docker-sd at %s, where the configuration has it listen: %w", c.address, err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		text, err := io.ReadAll(io.LimitReader(response.Body, 4096))
		if err != nil {
			return err
		}
		return fmt.Errorf("docker-sd at %s answered %s: %s", c.address, response.Status, strings.Join(Plain([]string{string(bytes.TrimSpace(text))}), ""))
	}
	if _, err := io.Copy(out, response.Body); err != nil && ctx.Err() == nil {
		return fmt.Errorf("read the log: %w", err)
	}
	return ctx.Err()
}
