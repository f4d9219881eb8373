// Package cases is a table of pods and of what must be seen of each: from inside its
// containers, in its status and in its logs. A new row is a few lines of YAML in table.
package cases

import (
	"embed"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"
)

// Case is one pod with what must be seen of it.
type Case struct {
	// Name says what Kubernetes promises here, in a few words.
	Name string `json:"name"`
	// Fields are the paths in docs/pods.md of what the case shows.
	Fields []string `json:"fields"`
	// Settings of docker-sd that the case needs.
	Settings map[string]any `json:"settings"`
	// Image is the lines of a Dockerfile upon the test image, for containers that name none.
	Image []string `json:"image"`

	// Labels and Annotations of the pod.
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	// Spec of the pod. A container without an image has the test image, one without a
	// command runs the commands of See, and one that only See names has a name alone. The
	// restart policy is Never unless the case names another one.
	Spec v1.PodSpec `json:"spec"`
	// ConfigMaps and Secrets that come with the create, by name.
	ConfigMaps map[string]map[string]string `json:"configMaps"`
	Secrets    map[string]map[string]string `json:"secrets"`

	// Refused is the parts of the answer to a create that is refused.
	Refused []string `json:"refused"`
	// Phase that the pod reaches: Succeeded, unless Waits says something.
	Phase v1.PodPhase `json:"phase"`
	// See is what commands show in a container, by its name.
	See map[string][]Sight `json:"see"`
	// Then is what the container does after the commands of See.
	Then map[string]string `json:"then"`
	// Waits, Ends and Logs are what the status says of a container, and its log.
	Waits map[string]Wait   `json:"waits"`
	Ends  map[string]End    `json:"ends"`
	Logs  map[string]string `json:"logs"`
	// Restarts of a container.
	Restarts map[string]int32 `json:"restarts"`
}

// Sight is a command and what it shows, both streams without the end of the last line.
type Sight struct {
	Show string `json:"show"`
	Want string `json:"want"`
	// Match is a regular expression for the whole, in the place of Want.
	Match string `json:"match"`
}

// Wait is why a container waits.
type Wait struct {
	Reason string `json:"reason"`
	// Message is a part of it.
	Message string `json:"message"`
}

// End is how a container has ended.
type End struct {
	ExitCode int32  `json:"exitCode"`
	Reason   string `json:"reason"`
	// Message is a part of it; Whole is all of it.
	Message string  `json:"message"`
	Whole   *string `json:"whole"`
}

//go:embed table/*.yaml
var table embed.FS

// All is the cases of the table, in the order of their files.
func All() ([]Case, error) {
	entries, err := table.ReadDir("table")
	if err != nil {
		return nil, err
	}
	var all []Case
	for _, entry := range entries {
		text, err := table.ReadFile(path.Join("table", entry.Name()))
		if err != nil {
			return nil, err
		}
		var some []Case
		if err := yaml.UnmarshalStrict(text, &some); err != nil {
			return nil, fmt.Errorf("read the cases of %s: %w", entry.Name(), err)
		}
		all = append(all, some...)
	}
	return all, nil
}

// Check says what is wrong with the row itself.
func (c *Case) Check() error {
	if c.Name == "" || len(c.Fields) == 0 {
		return fmt.Errorf("case %q: a name and the fields that it shows are needed", c.Name)
	}
	if len(c.Refused)+len(c.See)+len(c.Waits)+len(c.Ends)+len(c.Logs)+len(c.Restarts) == 0 {
		return fmt.Errorf("case %q: nothing is to be seen", c.Name)
	}
	for name, sights := range c.See {
		for _, s := range sights {
			if _, err := regexp.Compile(s.Match); err != nil || s.Match != "" && s.Want != "" {
				return fmt.Errorf("case %q, container %s, %q: one of want and a valid match: %w", c.Name, name, s.Show, err)
			}
		}
	}
	return nil
}

// mark begins the output of a command.
func mark(i int) string { return fmt.Sprintf("<%d>", i) }

// script runs every command of a list and marks where its output begins.
func script(sights []Sight) string {
	var b strings.Builder
	for i, s := range append(slices.Clone(sights), Sight{Show: "true"}) {
		fmt.Fprintf(&b, "printf '%s%%s\\n' \"$({ %s\n} 2>&1)\"\n", mark(i), s.Show)
	}
	return b.String()
}

// Missing compares what a container wrote with what its commands must show. ended says that
// all commands have run.
func Missing(sights []Sight, log string) (problems []string, ended bool) {
	for i, s := range sights {
		_, rest, found := strings.Cut(log, mark(i))
		got, _, whole := strings.Cut(rest, "\n"+mark(i+1))
		ended = found && whole
		right := got == s.Want
		if s.Match != "" {
			right = regexp.MustCompile(`\A(?s:` + s.Match + `)\z`).MatchString(got)
			s.Want = s.Match
		}
		if !found || !right {
			problems = append(problems, fmt.Sprintf("%s\nshows %q\nwant  %q", s.Show, got, s.Want))
		}
	}
	return problems, ended || len(sights) == 0
}

// Replace puts values in the place of @NAME@ wherever the case has it.
func (c *Case) Replace(values map[string]string) (*Case, error) {
	text, err := yaml.Marshal(c)
	if err != nil {
		return nil, err
	}
	var pairs []string
	for name, value := range values {
		pairs = append(pairs, "@"+name+"@", value)
	}
	out := &Case{}
	return out, yaml.Unmarshal([]byte(strings.NewReplacer(pairs...).Replace(string(text))), out)
}

// Complete fills in what a row leaves out: images, commands, and what an API server would.
func (c *Case) Complete(image string) {
	spec := &c.Spec
	known := map[string]bool{}
	for _, list := range [][]v1.Container{spec.InitContainers, spec.Containers} {
		for i := range list {
			known[list[i].Name] = true
			c.complete(&list[i], image)
		}
	}
	var names []string
	for name := range c.See {
		if !known[name] {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		spec.Containers = append(spec.Containers, v1.Container{Name: name})
		c.complete(&spec.Containers[len(spec.Containers)-1], image)
	}
	if spec.RestartPolicy == "" {
		spec.RestartPolicy = v1.RestartPolicyNever
	}
	if c.Phase == "" && len(c.Waits) == 0 {
		c.Phase = v1.PodSucceeded
	}
}

func (c *Case) complete(container *v1.Container, image string) {
	if container.Image == "" {
		container.Image = image
	}
	if container.ImagePullPolicy == "" {
		container.ImagePullPolicy = v1.PullIfNotPresent
	}
	if container.TerminationMessagePath == "" {
		container.TerminationMessagePath = v1.TerminationMessagePathDefault
	}
	if container.TerminationMessagePolicy == "" {
		container.TerminationMessagePolicy = v1.TerminationMessageReadFile
	}
	if sights, then := c.See[container.Name], c.Then[container.Name]; container.Command == nil && len(sights)+len(then) > 0 {
		container.Command = []string{"sh", "-c", script(sights) + then}
	}
}

// BySettings groups cases that need the same settings of docker-sd, in their order.
func BySettings(all []Case) [][]Case {
	var groups [][]Case
	at := map[string]int{}
	for _, c := range all {
		key := fmt.Sprint(c.Settings) // maps are printed in the order of their keys
		i, known := at[key]
		if !known {
			i = len(groups)
			at[key], groups = i, append(groups, nil)
		}
		groups[i] = append(groups[i], c)
	}
	return groups
}
