package containers

import (
	"testing"

	v1 "k8s.io/api/core/v1"
)

// TestTrap4WeRestart: nobody upstream does.
func TestTrap4WeRestart(t *testing.T) {
	onFailure, never := v1.ContainerRestartPolicyOnFailure, v1.ContainerRestartPolicyNever
	always := v1.ContainerRestartPolicyAlways
	for name, c := range map[string]struct {
		pod  v1.RestartPolicy
		own  *v1.ContainerRestartPolicy
		rule []v1.ContainerRestartRule
		init bool
		// ok and failed: whether an end with 0, or with 3, is followed by a restart.
		ok, failed bool
	}{
		"Always":                       {pod: v1.RestartPolicyAlways, ok: true, failed: true},
		"not set is Always":            {ok: true, failed: true},
		"OnFailure":                    {pod: v1.RestartPolicyOnFailure, failed: true},
		"Never":                        {pod: v1.RestartPolicyNever},
		"init of Always":               {pod: v1.RestartPolicyAlways, init: true, failed: true},
		"init of OnFailure":            {pod: v1.RestartPolicyOnFailure, init: true, failed: true},
		"init of Never":                {pod: v1.RestartPolicyNever, init: true},
		"sidecar of Never":             {pod: v1.RestartPolicyNever, own: &always, init: true, ok: true, failed: true},
		"own policy OnFailure":         {pod: v1.RestartPolicyNever, own: &onFailure, failed: true},
		"own policy Never":             {pod: v1.RestartPolicyAlways, own: &never},
		"own policy Always":            {pod: v1.RestartPolicyNever, own: &always, ok: true, failed: true},
		"init with own policy Never":   {pod: v1.RestartPolicyAlways, own: &never, init: true},
		"rule for the code":            {pod: v1.RestartPolicyAlways, own: &never, rule: []v1.ContainerRestartRule{restartOn("In", 1, 3)}, failed: true},
		"rule for another code":        {pod: v1.RestartPolicyAlways, own: &never, rule: []v1.ContainerRestartRule{restartOn("In", 1)}},
		"rule for all codes but one":   {pod: v1.RestartPolicyAlways, own: &never, rule: []v1.ContainerRestartRule{restartOn("NotIn", 1)}, ok: true, failed: true},
		"second rule":                  {pod: v1.RestartPolicyAlways, own: &never, rule: []v1.ContainerRestartRule{restartOn("In", 1), restartOn("In", 3)}, failed: true},
		"policy where no rule matches": {pod: v1.RestartPolicyNever, own: &onFailure, rule: []v1.ContainerRestartRule{restartOn("In", 1)}, failed: true},
	} {
		t.Run(name, func(t *testing.T) {
			spec := plainPod()
			spec.Spec.RestartPolicy = c.pod
			r := &runner{p: podFor(spec), spec: &v1.Container{Name: "c", RestartPolicy: c.own, RestartPolicyRules: c.rule}, init: c.init}
			if got := r.restarts(v1.ContainerStateTerminated{ExitCode: 0}); got != c.ok {
				t.Errorf("after 0: %t, want %t", got, c.ok)
			}
			if got := r.restarts(v1.ContainerStateTerminated{ExitCode: 3}); got != c.failed {
				t.Errorf("after 3: %t, want %t", got, c.failed)
			}
		})
	}
}

// TestFirstRuleThatIsForACode decides, and a container for which all are restarted runs
// again itself.
func TestFirstRuleThatIsForACode(t *testing.T) {
	all := restartOn(v1.ContainerRestartRuleOnExitCodesOpNotIn, 0, 3)
	all.Action = v1.ContainerRestartRuleActionRestartAllContainers
	pod := plainPod()
	pod.Spec.RestartPolicy = v1.RestartPolicyNever
	c := &pod.Spec.Containers[0]
	c.RestartPolicyRules = []v1.ContainerRestartRule{restartOn(v1.ContainerRestartRuleOnExitCodesOpIn, 3, 4), all, {Action: all.Action}}
	for code, want := range map[int32]struct{ all, again bool }{0: {}, 3: {again: true}, 4: {again: true}, 5: {true, true}} {
		end := v1.ContainerStateTerminated{ExitCode: code}
		if got := restartsAll(c, end); got != want.all {
			t.Errorf("%d restarts all: %t", code, got)
		}
		if got := podFor(pod).runner(c, nil, nil).restarts(end); got != want.again {
			t.Errorf("%d restarts: %t", code, got)
		}
	}
}
