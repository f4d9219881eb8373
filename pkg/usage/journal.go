package usage

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// journal is the accounting file: one line of JSON for each pod that has ended. It is
// opened anew for each line, so it may be moved away at any time.
type journal struct {
	// path of the file; "" is none.
	path string
}

// check makes the file where it is missing, so that a path that cannot be is noticed before
// the first pod ends.
func (j journal) check() error {
	if j.path == "" {
		return nil
	}
	file, err := os.OpenFile(j.path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("open AccountingFile, which needs a folder where docker-sd may write: %w", err)
	}
	return file.Close()
}

// errNotSynced says that a line is in the file, and perhaps not yet on the disk.
var errNotSynced = errors.New("the line may be lost with the machine")

// write appends a line, and returns when it is on the disk. With errNotSynced it is not to be
// written again.
func (j journal) write(b Bill) error {
	if j.path == "" {
		return nil
	}
	line, err := json.Marshal(b)
	if err != nil {
		return fmt.Errorf("account for pod %s: %w", b.UID, err)
	}
	file, err := os.OpenFile(j.path, os.O_RDWR|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("open AccountingFile: %w", err)
	}
	line = append(line, '\n')
	if torn(file) {
		line = append([]byte{'\n'}, line...)
	}
	// One call, so that lines of two writers do not mix.
	if _, err = file.Write(line); err != nil {
		return errors.Join(err, file.Close())
	}
	if err = errors.Join(file.Sync(), file.Close()); err != nil {
		return fmt.Errorf("%w: %w", errNotSynced, err)
	}
	return nil
}

// torn says that the file ends within a line, as after a disk was full.
func torn(file *os.File) bool {
	info, err := file.Stat()
	if err != nil || info.Size() == 0 {
		return false
	}
	var last [1]byte
	_, err = file.ReadAt(last[:], info.Size()-1)
	return err == nil && last[0] != '\n'
}

// tailBytes is how much of the file's end is looked at: some thousands of pods.
const tailBytes = 1 << 20

// accounted lists the pods with a line at the end of the file. A docker-sd that was killed
// between a pod's line and the pod's record comes to the pod's end once more.
func (j journal) accounted() (map[string]bool, error) {
	out := map[string]bool{}
	if j.path == "" {
		return out, nil
	}
	file, err := os.Open(j.path)
	if errors.Is(err, fs.ErrNotExist) {
		return out, nil
	}
	if err != nil {
		return out, fmt.Errorf("open AccountingFile: %w", err)
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return out, fmt.Errorf("look at AccountingFile: %w", err)
	}
	lines := bufio.NewReader(io.NewSectionReader(file, max(info.Size()-tailBytes, 0), tailBytes))
	for {
		line, err := lines.ReadBytes('\n')
		var b struct{ UID string }
		// The first line may be a part of one, the last one too where a disk was full.
		if json.Unmarshal(bytes.TrimSpace(line), &b) == nil && b.UID != "" {
			out[b.UID] = true
		}
		if errors.Is(err, io.EOF) {
			return out, nil
		}
		if err != nil {
			return out, fmt.Errorf("read AccountingFile: %w", err)
		}
	}
}
