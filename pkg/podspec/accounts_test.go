package podspec

import (
	"slices"
	"testing"

	v1 "k8s.io/api/core/v1"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/engine"
)

// TestGroupsOfTheImage: with Merge the groups of the image's user are kept whatever group
// the pod names, with Strict only the pod's are there.
func TestGroupsOfTheImage(t *testing.T) {
	accounts, err := ParseAccounts([]byte("root:x:0:0::/:\napp:x:1000:1001::/:\n# a remark\n\n"),
		[]byte("root:x:0:\nbin:x:1:root,daemon\napp:x:1001:app\nextra:x:50:app\nmore:x:51:other,app\nlast:x:52\n"))
	if err != nil {
		t.Fatal(err)
	}
	merge, strict := v1.SupplementalGroupsPolicyMerge, v1.SupplementalGroupsPolicyStrict
	for name, c := range map[string]struct {
		policy      *v1.SupplementalGroupsPolicy
		user, image string
		needed      bool
		want        string
		groups      []string
	}{
		"number and group":              {nil, "1000:7", "", true, "1000:7", []string{"9", "50", "51"}},
		"Merge":                         {&merge, "1000:7", "", true, "1000:7", []string{"9", "50", "51"}},
		"name and group of the image":   {nil, "", "app:7", true, "", []string{"9", "50", "51"}},
		"root and a group":              {nil, "0:7", "", true, "0:7", []string{"9", "1"}},
		"a stranger":                    {nil, "77:7", "", true, "77:7", []string{"9"}},
		"the engine adds them":          {nil, "1000", "", false, "", nil},
		"the engine adds the image's":   {nil, "", "app", false, "", nil},
		"Strict, group named":           {&strict, "1000:7", "", false, "", nil},
		"Strict, number":                {&strict, "1000", "", true, "1000:1001", []string{"9"}},
		"Strict, user of the image":     {&strict, "", "app", true, "app:1001", []string{"9"}},
		"Strict, image without a user":  {&strict, "", "", true, "0:0", []string{"9"}},
		"Strict, a stranger":            {&strict, "77", "", true, "77:0", []string{"9"}},
		"Strict, a name that is nobody": {&strict, "", "nobody", true, "", []string{"9"}},
	} {
		t.Run(name, func(t *testing.T) {
			pod := plainPod()
			withPodSecurity(v1.PodSecurityContext{SupplementalGroupsPolicy: c.policy})(pod)
			if got := NeedsAccounts(pod, c.user, c.image); got != c.needed {
				t.Fatalf("needed: %t", got)
			}
			if !c.needed {
				return
			}
			spec := engine.Spec{User: c.user, GroupAdd: []string{"9"}}
			accounts.Apply(&spec, pod, c.image)
			if spec.User != c.want || !slices.Equal(spec.GroupAdd, c.groups) {
				t.Errorf("user %q with %v, want %q with %v", spec.User, spec.GroupAdd, c.want, c.groups)
			}
		})
	}
}
