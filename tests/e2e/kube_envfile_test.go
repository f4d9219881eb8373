//go:build e2e

package e2e_test

import (
	"testing"

	v1 "k8s.io/api/core/v1"
)

// fromFile is a variable from a file of the volume that withVolume gives a pod.
func fromFile(name, path, key string, optional bool) v1.EnvVar {
	return v1.EnvVar{Name: name, ValueFrom: &v1.EnvVarSource{FileKeyRef: &v1.FileKeySelector{VolumeName: "vol", Path: path, Key: key, Optional: &optional}}}
}

// kubeEnvFile: variables come from a file that an init container has written, into a
// container that does not mount the volume.
func kubeEnvFile(t *testing.T, d kubeDaemon) {
	const write = `mkdir /vol/sub; cat >/vol/sub/app.env <<'END'
# of the application
A='it is $HOME'
  B = 'two
lines'   # said
A2=''
END
ln -s sub/app.env /vol/link`
	for name, volume := range map[string]v1.VolumeSource{
		"disk": emptyDir(), "memory": {EmptyDir: &v1.EmptyDirVolumeSource{Medium: v1.StorageMediumMemory}}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pod := withVolume(withInits(newPod(), shell("write", write)), volume, "/vol")
			main := shell("c", `echo "$A|$B|${A2-unset}|${NOT-unset}|${NONE-unset}|$0"; test ! -e /vol`)
			main.Command = append(main.Command, "$(A)")
			main.Env = []v1.EnvVar{fromFile("A", "sub/app.env", "A", false), fromFile("B", "link", "B", false), fromFile("A2", "sub/app.env", "A2", false),
				fromFile("NOT", "sub/app.env", "NOT", true), fromFile("NONE", "sub/none.env", "A", true)}
			pod.Spec.Containers = []v1.Container{main}
			if got := d.run(t, pod).output(); got != "it is $HOME|two\nlines||unset|unset|it is $HOME\n" {
				t.Errorf("it saw %q", got)
			}
		})
	}
}

// kubeEnvFileMistakes: the container waits and says why; nothing of what is in a file that
// is not the volume's, or is none of variables, is told. Once the file is right it runs.
func kubeEnvFileMistakes(t *testing.T, d kubeDaemon) {
	for name, c := range map[string]struct{ write, path, key, words string }{
		"no file":          {"true", "app.env", "A", "does not exist"},
		"no key":           {"echo \"A='x'\" >/vol/app.env", "app.env", "B", "has no key B"},
		"no quotes":        {"echo A=hidden >/vol/app.env", "app.env", "A", "line 1"},
		"folder":           {"mkdir /vol/app.env", "app.env", "A", "is not a file"},
		"pipe":             {"mkfifo /vol/app.env", "app.env", "A", "is not a file"},
		"too long":         {"head -c 70000 /dev/zero | tr '\\0' '#' >/vol/app.env", "app.env", "A", "65536 bytes"},
		"link to the host": {"ln -s /etc/shadow /vol/app.env", "app.env", "A", "leads outside the volume"},
		"link up":          {"ln -s ../../managed/hosts /vol/app.env", "app.env", "A", "leads outside the volume"},
		"linked folder":    {"ln -s / /vol/x", "x/etc/passwd", "A", "leads outside the volume"},
		"device":           {"ln -s /dev/zero /vol/app.env", "app.env", "A", "leads outside the volume"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			pod := withVolume(withInits(newPod(), shell("write", c.write), sidecar(shell("side", "until test -e /vol/mend; do usleep 20000; done; rm -rf /vol/app.env /vol/x; "+
				"mkdir -p /vol/x/etc; printf \"A='a'\\nB='a'\\n\" | tee /vol/x/etc/passwd >/vol/app.env; "+untilStopped))), emptyDir(), "/vol")
			if name == "no key" {
				// It is written by another main container, which must not be held back.
				pod.Spec.Containers = []v1.Container{shell("other", "sleep 1; touch /vol/mend")}
				pod.Spec.Containers[0].VolumeMounts = []v1.VolumeMount{mount("vol", "/vol")}
			}
			main := shell("c", "echo $V")
			main.Env = []v1.EnvVar{fromFile("V", c.path, c.key, name != "no file" && name != "no key")}
			pod.Spec.Containers = append(pod.Spec.Containers, main)
			p := d.run(t, pod)
			p.waits("CreateContainerConfigError", "variable V", c.words)
			if name == "no key" {
				p.waitPhase(v1.PodSucceeded)
			}
		})
	}
}
