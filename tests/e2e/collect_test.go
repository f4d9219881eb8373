//go:build e2e

package e2e_test

import (
	"net/url"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
)

// TestImagesAreCollected: only what docker-sd itself pulled is removed, when no
// pod needs it, and a pod that wants it again gets it again.
func TestImagesAreCollected(t *testing.T) {
	t.Parallel()
	f := newFront(t, false)
	kept := f.publish(t, "kept", 1<<10)
	unused, before, named, used := f.publish(t, "unused", 1<<10), f.publish(t, "before", 1<<10), f.publish(t, "named", 1<<10), f.publish(t, "used", 1<<10)
	suite.engine.post(t, "/images/create?fromImage="+url.QueryEscape(strings.TrimSuffix(before.ref, ":1"))+"&tag=1", nil, nil)
	settings := map[string]any{"AVAILABLEDINDS": 1, "ImageGC": "dry-run", "ImageMaximumGCAge": "4s", "ImageMinimumGCAge": "0s",
		"ImageGCHighThresholdPercent": 100, "ImagesToKeep": []string{kept.ref}}
	d := prepareDaemon(t, settings)
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, runLimit, "an image that no pod asks for is there", func() bool { return suite.engine.hasImage(t, kept.ref) },
		func() string { return d.log.Tail(20) })
	once := func(ref string) {
		p := d.run(t, newPod(from(ref, v1.PullIfNotPresent)))
		p.waitPhase(v1.PodSucceeded)
		p.delete(0)
	}
	for _, image := range []published{unused, before, named} {
		once(image.ref)
	}
	theirs := f.address + "/theirs"
	suite.engine.post(t, "/images/"+named.ref+"/tag?repo="+url.QueryEscape(theirs)+"&tag=1", nil, nil)
	t.Cleanup(func() { suite.engine.removeImage(t, theirs+":1") })
	stays := shell("c", untilStopped)
	stays.Image = used.ref
	d.run(t, newPod(stays)).waitRunning()
	eventually(t, runLimit, "the dry run names the image", func() bool {
		return strings.Contains(d.log.About("dry run"), unused.ref)
	}, func() string { return d.log.Tail(20) })
	if !suite.engine.hasImage(t, unused.ref) {
		t.Fatal("a dry run removed an image")
	}
	if err := d.stop(); err != nil {
		t.Fatal(err)
	}
	d.settings["ImageGC"] = "enabled"
	if err := d.writeConfig(); err != nil {
		t.Fatal(err)
	}
	if err := d.start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, runLimit, "the unused image is removed", func() bool { return !suite.engine.hasImage(t, unused.ref) }, nil)
	once(unused.ref)
	eventually(t, runLimit, "it is removed again", func() bool { return !suite.engine.hasImage(t, unused.ref) }, nil)
	for what, ref := range map[string]string{"kept": kept.ref, "there before": before.ref, "named by somebody else": named.ref, "in use": used.ref} {
		if !suite.engine.hasImage(t, ref) {
			t.Errorf("an image was removed that was %s", what)
		}
	}
}
