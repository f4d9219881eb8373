package cli

import (
	"context"
	"slices"

	"github.com/spf13/cobra"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/admin"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/podstatus"
)

// target asks the running docker-sd for a pod by its name. The caller closes the client.
func (o *Options) target(ctx context.Context, name string) (*admin.Client, podstatus.View, error) {
	settings, _, err := o.Load()
	if err != nil {
		return nil, podstatus.View{}, err
	}
	client := admin.NewClient(settings.DataRootFolder)
	list, err := client.Pods(ctx)
	var pod podstatus.View
	if err == nil {
		pod, err = findPod(list.Pods, name)
	}
	if err != nil {
		client.Close()
		return nil, pod, err
	}
	return client, pod, nil
}

// checkContainer is an error if a pod has no container of that name; "" is the default one.
func checkContainer(p podstatus.View, name string) error {
	if name != "" && !slices.Contains(containersOf(p), name) {
		return unknownContainer(p, name)
	}
	return nil
}

// containerFlag adds --container to a command whose first argument is a pod.
func containerFlag(o *Options, cmd *cobra.Command) *string {
	name := cmd.Flags().StringP("container", "c", "", "name of the container (default the one that the pod names, or its first)")
	complete := func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return o.containerNames(cmd.Context(), args), cobra.ShellCompDirectiveNoFileComp
	}
	if err := cmd.RegisterFlagCompletionFunc("container", complete); err != nil {
		panic(err) // the flag is there
	}
	return name
}

// completePod offers the pods for the first argument of a command.
func completePod(o *Options) cobra.CompletionFunc {
	return func(cmd *cobra.Command, args []string, _ string) ([]cobra.Completion, cobra.ShellCompDirective) {
		if len(args) > 0 {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		return o.podNames(cmd.Context()), cobra.ShellCompDirectiveNoFileComp
	}
}
