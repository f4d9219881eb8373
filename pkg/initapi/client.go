package initapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"time"

	"github.com/containerd/errdefs"
)

// callLimit bounds one call. The operations take microseconds; a mount of a network
// file system whose server is away may take long.
const callLimit = time.Minute

// answerLimit bounds an answer in bytes: what runs in a sandbox is not trusted with
// memory here.
const answerLimit = 1 << 20

// Client of the init of one sandbox. It keeps no connection.
type Client struct{ socket string }

// NewClient speaks with the init of the sandbox whose folder on the host is dir.
func NewClient(dir string) *Client { return &Client{filepath.Join(dir, SocketName)} }

// Status asks what the sandbox is doing.
func (c *Client) Status(ctx context.Context) (State, error) {
	answer, err := c.call(ctx, Request{Op: OpStatus})
	if err != nil {
		return State{}, err
	}
	if answer.State == nil {
		return State{}, fmt.Errorf("the sandbox's init tells no state: %w", errdefs.ErrUnknown)
	}
	return *answer.State, nil
}

// Start has a standby start its engine; again is success. current says that the
// images which it shares are still the host's.
func (c *Client) Start(ctx context.Context, current bool) error {
	_, err := c.call(ctx, Request{Op: OpStart, Current: current})
	return err
}

// Check opens a source, makes it if its type says so, and lets go of it.
func (c *Client) Check(ctx context.Context, source Source) error {
	_, err := c.call(ctx, Request{Op: OpCheck, Source: &source})
	return err
}

// Pin opens a source and mounts what it found at a private place, whose path inside
// the sandbox it returns. What was at that place before is let go of.
func (c *Client) Pin(ctx context.Context, place string, source Source) (string, error) {
	answer, err := c.call(ctx, Request{Op: OpPin, Place: place, Source: &source})
	return answer.Path, err
}

// Read returns what is in a file of a volume, the source's SubPath, that has at most so
// many bytes. ErrFailedPrecondition says that it is not there.
func (c *Client) Read(ctx context.Context, source Source, most int64) ([]byte, error) {
	answer, err := c.call(ctx, Request{Op: OpRead, Source: &source, Limit: most})
	return answer.Data, err
}

// HasImage says whether the volume of that name shows its image.
func (c *Client) HasImage(ctx context.Context, volume string) (bool, error) {
	_, err := c.call(ctx, Request{Op: OpImage, Image: &Image{Volume: volume}})
	if errdefs.IsFailedPrecondition(err) {
		return false, nil
	}
	return err == nil, err
}

// MountImage has a volume show an image, by the folders of its layers in the engine's
// store, the topmost first. A volume that shows one already is left as it is.
func (c *Client) MountImage(ctx context.Context, volume string, layers []string) error {
	_, err := c.call(ctx, Request{Op: OpImage, Image: &Image{Volume: volume, Mount: true, Layers: layers}})
	return err
}

// Tmpfs mounts a file system in memory.
func (c *Client) Tmpfs(ctx context.Context, t Tmpfs) error {
	_, err := c.call(ctx, Request{Op: OpTmpfs, Tmpfs: &t})
	return err
}

// ResizeShm gives /dev/shm a size in bytes.
func (c *Client) ResizeShm(ctx context.Context, bytes int64) error {
	_, err := c.call(ctx, Request{Op: OpShm, Shm: bytes})
	return err
}

// SetSysctls sets kernel parameters of the sandbox's namespaces, by dotted name.
func (c *Client) SetSysctls(ctx context.Context, values map[string]string) error {
	_, err := c.call(ctx, Request{Op: OpSysctl, Sysctl: values})
	return err
}

// MakeGroup makes the control group of the pod's containers and bounds it.
func (c *Client) MakeGroup(ctx context.Context, g Group) error {
	_, err := c.call(ctx, Request{Op: OpGroup, Group: &g})
	return err
}

// Kill ends a process, its session and what these have started, at once.
func (c *Client) Kill(ctx context.Context, pid int) error {
	_, err := c.call(ctx, Request{Op: OpKill, PID: pid})
	return err
}

// Fuse lets containers mount FUSE file systems over the emptyDirs in a folder of the
// sandbox. It returns nil where the sandbox cannot.
func (c *Client) Fuse(ctx context.Context, folder string) (*Fuse, error) {
	answer, err := c.call(ctx, Request{Op: OpFuse, Fuse: folder})
	return answer.Fuse, err
}

// EndFuse ends all FUSE file systems of the sandbox.
func (c *Client) EndFuse(ctx context.Context) error {
	_, err := c.call(ctx, Request{Op: OpEndFuse})
	return err
}

// GroupOOM has the kernel kill all of a container where it kills one of its processes for
// memory.
func (c *Client) GroupOOM(ctx context.Context, container string) error {
	_, err := c.call(ctx, Request{Op: OpGroupOOM, Container: container})
	return err
}

// Amend has the amending runtime give a container what the engine has no option for.
func (c *Client) Amend(ctx context.Context, a Amendment) error {
	_, err := c.call(ctx, Request{Op: OpAmend, Amendment: &a})
	return err
}

// BoundHugePages lets the containers of the pod have huge pages.
func (c *Client) BoundHugePages(ctx context.Context, pages []HugePages) error {
	_, err := c.call(ctx, Request{Op: OpHugePages, HugePages: pages})
	return err
}

// Hugetlbfs mounts a volume of huge pages.
func (c *Client) Hugetlbfs(ctx context.Context, h Hugetlbfs) error {
	_, err := c.call(ctx, Request{Op: OpHugetlbfs, Hugetlbfs: &h})
	return err
}

// Measure sums up a folder of the sandbox. With an error the usage is that of what was
// seen.
func (c *Client) Measure(ctx context.Context, folder string) (Usage, error) {
	answer, err := c.call(ctx, Request{Op: OpMeasure, Folder: folder})
	if answer.Usage == nil {
		return Usage{}, err
	}
	return *answer.Usage, err
}

func (c *Client) call(ctx context.Context, request Request) (Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, callLimit)
	defer cancel()
	request.Version = Version
	answer, err := c.exchange(ctx, request)
	if err != nil {
		// Nothing is lost: each operation may be repeated.
		return Answer{}, fmt.Errorf("ask the sandbox's init for %s: %w: %w", request.Op, err, errdefs.ErrUnavailable)
	}
	if answer.Error != nil {
		return answer, fmt.Errorf("%w%w", answer.Error, classOf(answer.Error.Kind))
	}
	return answer, nil
}

func (c *Client) exchange(ctx context.Context, request Request) (Answer, error) {
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", c.socket)
	if err != nil {
		return Answer{}, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if err := json.NewEncoder(conn).Encode(request); err != nil {
		return Answer{}, errors.Join(ctx.Err(), err)
	}
	var answer Answer
	if err := json.NewDecoder(io.LimitReader(conn, answerLimit)).Decode(&answer); err != nil {
		return Answer{}, errors.Join(ctx.Err(), err)
	}
	return answer, nil
}

// class is an error's class without words of its own: the message is the pod's
// user's.
type class struct{ error }

func (class) Error() string   { return "" }
func (c class) Unwrap() error { return c.error }

func classOf(kind Kind) error {
	switch kind {
	case KindInvalid, KindOutside:
		return class{errdefs.ErrInvalidArgument}
	case KindMissing:
		return class{errdefs.ErrFailedPrecondition}
	case KindAway:
		return class{errdefs.ErrUnavailable}
	case KindUnknown:
		return class{errdefs.ErrNotImplemented}
	}
	return class{errdefs.ErrUnknown}
}
