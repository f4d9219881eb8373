package podspec

import (
	"strings"
	"testing"

	"github.com/containerd/errdefs"
)

// trusting is a node whose operator trusts annotations.
var trusting = Node{Capabilities: testCapabilities, TrustAnnotations: true}

// TestFlagsThatGrant: only an operator who trusts annotations has them honoured,
// however they are written; those that restrict count for everybody.
func TestFlagsThatGrant(t *testing.T) {
	for text, refused := range map[string]string{
		"--cap-add ALL":                       "--cap-add",
		"--cap-add=NET_ADMIN":                 "--cap-add",
		"--cap-drop ALL --cap-add NET_RAW":    "--cap-add",
		"--user 0":                            "--user",
		"-u0":                                 "--user",
		"-u=0:0":                              "--user",
		"--user=":                             "--user",
		"--ulimit rtprio=99":                  "--ulimit of rtprio",
		"--ulimit nofile=1:2 --ulimit nice=9": "--ulimit of nice",
		"--ulimit memlock=-1":                 "--ulimit of memlock",
		"--ulimit nproc=9999":                 "--ulimit of nproc",
		"--ipc=host --shm-size=1g":            "",
		"--cap-drop ALL --read-only --init --stop-signal TERM -m 64m --cpus 1 --pids-limit 9 -e A=b -w /x": "",
		"--ulimit nofile=1024:2048 --ulimit stack=1":                                                       "",
		"": "",
	} {
		pod := plainPod()
		pod.Annotations = map[string]string{flagsAnnotation: text}
		_, problems := parseFlags(pod, testNode)
		err := Refusal(problems)
		switch {
		case refused == "" && err != nil:
			t.Errorf("%q is refused: %v", text, err)
		case refused != "" && (!errdefs.IsInvalidArgument(err) || !strings.Contains(err.Error(), refused) || !strings.Contains(err.Error(), "TrustedAnnotationFlags")):
			t.Errorf("%q gives %v, want a refusal of %s that names the key", text, err, refused)
		}
		if _, err := parseFlags(pod, trusting); len(err) > 0 {
			t.Errorf("%q is refused although annotations are trusted: %v", text, err)
		}
	}
}
