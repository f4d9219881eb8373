package cli

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/admin"
)

// newDescribe makes the command describe.
func newDescribe(o *Options) *cobra.Command {
	var format *string
	cmd := &cobra.Command{
		Use: "describe NAMESPACE/POD|UID", Short: "Show all that is known of a pod", Args: cobra.ExactArgs(1), ValidArgsFunction: completePod(o),
		Long: "describe shows a pod as kubectl describe does, and the timeline of its start. Values of\n" +
			"variables are left out. The steps of the timeline, and events, are those since the last start of\n" +
			"docker-sd.",
		RunE: func(cmd *cobra.Command, args []string) error {
			screen, err := NewScreen(cmd, o.Getenv, *format)
			if err != nil {
				return err
			}
			client, pod, err := o.target(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			defer client.Close()
			seen, err := client.Describe(cmd.Context(), pod.UID)
			if err != nil {
				return err
			}
			if screen.JSON {
				return screen.PrintJSON(seen, false)
			}
			return describe(screen.Out, seen, time.Now())
		},
	}
	format = OutputFlag(cmd)
	return cmd
}

// sheet is what describe prints: lines of a name and a value, each below another one or not.
type sheet struct{ *tabwriter.Writer }

// line prints a name and a value, so many steps to the right. What would steer a terminal is
// left out.
func (s sheet) line(depth int, name, value string) {
	plain := Plain([]string{name, value})
	if value == "" {
		plain[1] = ""
	}
	fmt.Fprintf(s, "%s%s:\t%s\n", strings.Repeat("  ", depth), plain[0], plain[1])
}

// row prints cells below a name.
func (s sheet) row(cells ...string) {
	fmt.Fprintf(s, "  %s\n", strings.Join(Plain(cells), "\t"))
}

// describe prints a description.
func describe(out io.Writer, d admin.Description, now time.Time) error {
	var text bytes.Buffer
	s := sheet{tabwriter.NewWriter(&text, 0, 0, 2, ' ', 0)}
	s.pod(d)
	section := func(name string) {
		_ = s.Flush() // into memory
		fmt.Fprintln(&text, name)
	}
	for _, inits := range []bool{true, false} {
		begun := false
		for _, c := range d.Containers {
			if c.Init != inits {
				continue
			}
			if !begun {
				section(map[bool]string{true: "Init Containers:", false: "Containers:"}[inits])
				begun = true
			}
			s.container(c)
		}
	}
	section("Conditions:")
	s.row("Type", "Status", "Reason")
	for _, c := range d.Conditions {
		s.row(string(c.Type), string(c.Status), c.Reason)
	}
	if len(d.Volumes) > 0 {
		section("Volumes:")
		s.row("Name", "Type")
		for _, v := range d.Volumes {
			s.row(v.Name, volumeKind(v))
		}
	}
	section("Timeline:")
	s.row("At", "After", "What", "Container", "Took", "Detail")
	for _, m := range d.Timeline {
		s.row(m.Time.Local().Format("15:04:05.000"), "+"+m.Time.Sub(d.Pod.Created).Round(time.Millisecond).String(), m.What, m.Container, m.Ended(), m.Detail)
	}
	section("Events:")
	s.row("Age", "What", "Container", "Detail")
	for _, e := range slices.Backward(d.Events) {
		s.row(Age(e.Time, now), e.What, e.Container, e.Detail)
	}
	_ = s.Flush() // into memory
	for line := range strings.Lines(text.String()) {
		if _, err := fmt.Fprintln(out, strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

// pod prints what is not of a container.
func (s sheet) pod(d admin.Description) {
	p := d.Pod
	s.line(0, "Name", p.Name)
	s.line(0, "Namespace", p.Namespace)
	s.line(0, "UID", string(p.UID))
	s.line(0, "Job ID", p.JID)
	s.line(0, "Created", p.Created.Local().Format(time.RFC1123Z))
	name := "Labels"
	for _, key := range slices.Sorted(maps.Keys(d.Labels)) {
		s.line(0, name, key+"="+d.Labels[key])
		name = ""
	}
	s.line(0, "Status", string(p.Phase))
	s.line(0, "IP", p.IP)
	s.line(0, "Sandbox", p.Sandbox)
	s.line(0, "QoS Class", string(d.QOSClass))
	s.line(0, "Restart Policy", string(d.RestartPolicy))
	if p.Network != nil {
		s.line(0, "Cluster network", network(p.Network))
	}
}

// container prints a container.
func (s sheet) container(d admin.DescribedContainer) {
	c, status := d.Spec, d.Status
	s.line(1, c.Name, "")
	s.line(2, "Container ID", status.ContainerID)
	s.line(2, "Image", c.Image)
	s.line(2, "Image ID", status.ImageID)
	for _, p := range c.Ports {
		s.line(2, "Port", fmt.Sprintf("%d/%s", p.ContainerPort, cmp.Or(string(p.Protocol), "TCP")))
	}
	if len(c.Command) > 0 {
		s.line(2, "Command", quoted(c.Command))
	}
	if len(c.Args) > 0 {
		s.line(2, "Args", quoted(c.Args))
	}
	s.state("State", status.State)
	s.state("Last State", status.LastTerminationState)
	s.line(2, "Ready", strconv.FormatBool(status.Ready))
	s.line(2, "Restart Count", strconv.Itoa(int(status.RestartCount)))
	s.resources("Limits", c.Resources.Limits)
	s.resources("Requests", c.Resources.Requests)
	if len(c.Env) > 0 {
		s.line(2, "Environment", "")
		for _, e := range c.Env {
			s.line(3, e.Name, "(not shown)")
		}
	}
	if len(c.VolumeMounts) > 0 {
		s.line(2, "Mounts", "")
		for _, m := range c.VolumeMounts {
			mode := map[bool]string{true: "ro", false: "rw"}[m.ReadOnly]
			if m.SubPath != "" {
				mode += ", path " + m.SubPath
			}
			s.line(3, m.MountPath, "from "+m.Name+" ("+mode+")")
		}
	}
}

// quoted writes arguments so that each can be told from the next.
func quoted(argv []string) string {
	out := make([]string, len(argv))
	for i, a := range argv {
		out[i] = strconv.Quote(a)
	}
	return strings.Join(out, " ")
}

// state prints that of a container; the last one only if there is one.
func (s sheet) state(name string, state v1.ContainerState) {
	when := func(name string, at time.Time) {
		if !at.IsZero() {
			s.line(3, name, at.Local().Format(time.RFC1123Z))
		}
	}
	reason := func(reason, message string) {
		if reason != "" {
			s.line(3, "Reason", reason)
		}
		if message != "" {
			s.line(3, "Message", message)
		}
	}
	switch {
	case state.Running != nil:
		s.line(2, name, "Running")
		when("Started", state.Running.StartedAt.Time)
	case state.Terminated != nil:
		s.line(2, name, "Terminated")
		reason(state.Terminated.Reason, state.Terminated.Message)
		s.line(3, "Exit Code", strconv.Itoa(int(state.Terminated.ExitCode)))
		when("Started", state.Terminated.StartedAt.Time)
		when("Finished", state.Terminated.FinishedAt.Time)
	case state.Waiting != nil:
		s.line(2, name, "Waiting")
		reason(state.Waiting.Reason, state.Waiting.Message)
	}
}

func (s sheet) resources(name string, list v1.ResourceList) {
	if len(list) == 0 {
		return
	}
	s.line(2, name, "")
	for _, resource := range slices.Sorted(maps.Keys(list)) {
		amount := list[resource]
		s.line(3, string(resource), amount.String())
	}
}

// volumeKind is the one source that a volume has, by the name of its field.
func volumeKind(v v1.Volume) string {
	for kind, is := range map[string]bool{
		"emptyDir": v.EmptyDir != nil, "hostPath": v.HostPath != nil, "configMap": v.ConfigMap != nil, "secret": v.Secret != nil,
		"projected": v.Projected != nil, "downwardAPI": v.DownwardAPI != nil, "persistentVolumeClaim": v.PersistentVolumeClaim != nil,
		"ephemeral": v.Ephemeral != nil, "image": v.Image != nil, "nfs": v.NFS != nil, "csi": v.CSI != nil,
	} {
		if is {
			return kind
		}
	}
	return ""
}
