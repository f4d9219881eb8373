package fusemount

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// optionsLimit bounds the options of one mount in bytes.
const optionsLimit = 4096

// options are what a mount(2) is made with. It never honours set-user-id programs and
// device nodes.
type options struct {
	flags uintptr
	// source and kind are what tables of mounts show.
	source, kind string
	// maxRead is the bound of one read in bytes, 0 for the kernel's own.
	maxRead uint64
	// words are further ones for the file system itself.
	words []string
}

// change is what a word of the options does to the flags.
type change struct{ set, clear uintptr }

// flagWords are those that bear on no more than the files of the mount.
var flagWords = map[string]change{
	"rw": {clear: unix.MS_RDONLY}, "ro": {set: unix.MS_RDONLY},
	"exec": {clear: unix.MS_NOEXEC}, "noexec": {set: unix.MS_NOEXEC},
	"async": {clear: unix.MS_SYNCHRONOUS}, "sync": {set: unix.MS_SYNCHRONOUS}, "dirsync": {set: unix.MS_DIRSYNC},
	"atime": {clear: unix.MS_NOATIME}, "noatime": {set: unix.MS_NOATIME},
	"diratime": {clear: unix.MS_NODIRATIME}, "nodiratime": {set: unix.MS_NODIRATIME},
	"relatime": {set: unix.MS_RELATIME}, "norelatime": {clear: unix.MS_RELATIME},
	"strictatime": {set: unix.MS_STRICTATIME}, "nostrictatime": {clear: unix.MS_STRICTATIME},
	"lazytime": {set: unix.MS_LAZYTIME}, "nolazytime": {clear: unix.MS_LAZYTIME},
	"nosuid": {}, "nodev": {},
	// The command unmounts by itself, and an empty mount point was never asked for here.
	"auto_unmount": {}, "nonempty": {}, "large_read": {},
}

// isSubtype says whether a text is the name of a file system, as tables of mounts show it.
func isSubtype(text string) bool {
	const punctuation = "._+-"
	return text != "" && len(text) <= 64 && !strings.Contains(punctuation, text[:1]) && !strings.ContainsFunc(text, func(r rune) bool {
		return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune(punctuation, r))
	})
}

// parseOptions reads the option string of fusermount. What is not on the list is refused
// by name.
func parseOptions(text string) (options, error) {
	out := options{flags: unix.MS_NOSUID | unix.MS_NODEV, kind: "fuse"}
	if len(text) > optionsLimit || strings.ContainsRune(text, 0) {
		return out, fmt.Errorf("the options are longer than %d bytes, or hold a NUL", optionsLimit)
	}
	subtype := ""
	for _, word := range splitOptions(text) {
		name, value, _ := strings.Cut(word, "=")
		effect, known := flagWords[word]
		switch {
		case word == "":
		case known:
			out.flags = out.flags&^effect.clear | effect.set
		case name == "fsname" && value != "":
			out.source = value
		case name == "subtype" && isSubtype(value):
			subtype = value
		case name == "max_read":
			n, err := strconv.ParseUint(value, 10, 31)
			if err != nil {
				return out, fmt.Errorf("the option max_read is not a number of bytes")
			}
			out.maxRead = n
		case word == "default_permissions", word == "allow_other":
			out.words = append(out.words, word)
		default:
			return out, fmt.Errorf("the option %.40s is not possible here", word)
		}
	}
	if subtype != "" {
		out.kind += "." + subtype
	}
	if out.source == "" {
		out.source = strings.TrimPrefix(out.kind, "fuse.")
	}
	return out, nil
}

// splitOptions divides at commas; a backslash takes the next character as it is.
func splitOptions(text string) []string {
	var out []string
	var word strings.Builder
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\' && i+1 < len(text):
			i++
			word.WriteByte(text[i])
		case text[i] == ',':
			out = append(out, word.String())
			word.Reset()
		default:
			word.WriteByte(text[i])
		}
	}
	return append(out, word.String())
}

// data is for the file system: the descriptor of /dev/fuse, the kind of the mount point,
// the user that it belongs to, and the mark.
func (o options) data(device int, mode, uid, gid uint32, mark Mark) (string, error) {
	maxRead, err := mark.put(o.maxRead)
	if err != nil {
		return "", err
	}
	words := append([]string{fmt.Sprintf("fd=%d", device), fmt.Sprintf("rootmode=%o", mode&unix.S_IFMT), fmt.Sprintf("user_id=%d", uid),
		fmt.Sprintf("group_id=%d", gid), fmt.Sprintf("max_read=%d", maxRead)}, o.words...)
	return strings.Join(words, ","), nil
}

// Mark is how a mount of this sandbox is told from one of the host: the bound of a read,
// which tables of mounts show, is a multiple of a page less the mark. Nobody in a sandbox
// can give a mount of the host another bound.
type Mark uint16

const (
	page = 4096
	// largeRead is more than the kernel reads at a time.
	largeRead = 1 << 30
	// Marks are from 1 to maxMark.
	maxMark = page - 1
)

// NewMark makes one of a random number. It is odd, so that no bound of a host's mount has
// it: those are even.
func NewMark(random uint64) Mark { return Mark(random%maxMark) | 1 }

func (m Mark) put(maxRead uint64) (uint64, error) {
	if maxRead == 0 {
		maxRead = largeRead
	}
	maxRead -= maxRead % page
	if maxRead < 2*page {
		return 0, fmt.Errorf("the option max_read must be %d or more", 2*page)
	}
	return maxRead - uint64(m), nil
}

// in says whether the options of a mounted file system have the mark.
func (m Mark) in(super string) bool {
	n, err := strconv.ParseUint(valueOf(super, "max_read"), 10, 64)
	return err == nil && m != 0 && (n+uint64(m))%page == 0
}

// valueOf is what an option of a mounted file system is set to, "" without it.
func valueOf(super, name string) string {
	for word := range strings.SplitSeq(super, ",") {
		if value, ok := strings.CutPrefix(word, name+"="); ok {
			return value
		}
	}
	return ""
}
