package sandboxinit

import (
	"context"
	"fmt"
	"os"
	"path"
	"time"

	"golang.org/x/sys/unix"

	"github.com/intertwin-eu/interlink-docker-plugin/pkg/initapi"
	"github.com/intertwin-eu/interlink-docker-plugin/pkg/tree"
)

// measureTime bounds one measuring. What was seen until then is in the answer.
const measureTime = 30 * time.Second

// measure sums up a folder by a name that no pod can change. Mounts below it are not
// entered.
func measure(folder string) (*initapi.Usage, error) {
	if !path.IsAbs(folder) {
		return nil, &initapi.Error{Kind: initapi.KindInvalid, Message: "the folder must be an absolute path"}
	}
	ctx, cancel := context.WithTimeout(context.Background(), measureTime)
	defer cancel()
	dir, err := os.OpenFile(folder, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return nil, fmt.Errorf("measure a folder: %w", err)
	}
	defer dir.Close()
	used, err := tree.Measure(ctx, dir)
	if err != nil {
		err = fmt.Errorf("measure %s: %w", folder, err)
	}
	return &initapi.Usage{Bytes: used.Bytes, Inodes: used.Inodes}, err
}
