package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	v1 "k8s.io/api/core/v1"
)

// progress is what a boot of the machine tells the next one.
type progress struct {
	// Next is the place in the list of the check that is to be run next, Failed the number of
	// those that have failed.
	Next, Failed int
	// Pods counts those that were made, and Left are those that a check has left for a later one.
	Pods int
	Left []*v1.Pod
	// Empty is what the host had before the first pod.
	Empty map[string][]string
}

func progressFile() string { return filepath.Join(shareDir, "progress") }

// restore reads what an earlier boot has saved, if there was one.
func (p *progress) restore() error {
	saved, err := os.ReadFile(progressFile())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	return json.Unmarshal(saved, p)
}

func (p *progress) save() error {
	saved, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return os.WriteFile(progressFile(), saved, 0o600)
}

// bootsAgain ends this boot of the machine in a way that its host knows: by a reboot, or by a
// loss of power, which the host makes. The next boot goes on after the check at this place.
func (h *host) bootsAgain(at int, c check) error {
	h.Next = at + 1
	if err := h.save(); err != nil {
		return err
	}
	fmt.Println("machine: " + c.boots)
	if c.boots == rebooted {
		if err := runQuiet("systemctl", "reboot"); err != nil {
			return err
		}
	}
	time.Sleep(10 * time.Minute) // it does not last so long
	return errors.New("the machine goes on after its end")
}
