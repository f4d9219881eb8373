// Package browser finds a headless browser for tests, and installs Debian's where
// there is none.
package browser

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/chromedp/chromedp"
)

// Variable names a browser to use instead of one that is found.
const Variable = "DOCKER_SD_TEST_BROWSER"

const installLimit = 10 * time.Minute

// programs that will do, and Debian's packages that have one, the smallest first.
var (
	programs = []string{"chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome"}
	packages = []string{"chromium-headless-shell", "chromium"}
)

// Find returns the path of a browser, which it installs if need be.
func Find(ctx context.Context) (string, error) {
	if path := os.Getenv(Variable); path != "" {
		return exec.LookPath(path)
	}
	if path := installed(); path != "" {
		return path, nil
	}
	by := "install chromium, or name a browser in " + Variable
	if _, err := exec.LookPath("apt-get"); err != nil {
		return "", errors.New("no browser is installed and there is no apt-get: " + by)
	}
	if os.Geteuid() != 0 {
		return "", errors.New("no browser is installed and installing one needs root: " + by)
	}
	ctx, cancel := context.WithTimeout(ctx, installLimit)
	defer cancel()
	problems := []error{aptGet(ctx, "update")}
	for _, name := range packages {
		problems = append(problems, aptGet(ctx, "install", "-y", "--no-install-recommends", name, "fonts-dejavu-core"))
		if path := installed(); path != "" {
			return path, nil
		}
	}
	return "", fmt.Errorf("no browser could be installed, %s: %w", by, errors.Join(problems...))
}

func installed() string {
	for _, name := range programs {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	return ""
}

func aptGet(ctx context.Context, args ...string) error {
	cmd := exec.CommandContext(ctx, "apt-get", args...)
	// Somebody else may be installing.
	cmd.Args = append([]string{"apt-get", "-o", "DPkg::Lock::Timeout=300"}, args...)
	cmd.Env = append(os.Environ(), "DEBIAN_FRONTEND=noninteractive")
	out, err := cmd.CombinedOutput()
	if err != nil {
		lines := strings.Split(strings.TrimSpace(string(out)), "\n")
		return fmt.Errorf("apt-get %s: %w: %s", args[0], err, strings.Join(lines[max(0, len(lines)-5):], "; "))
	}
	return nil
}

// Open starts a browser with an empty page, with more flags if need be. The returned context is the page's;
// the function ends the browser and waits for its end.
func Open(ctx context.Context, width, height int, flags ...chromedp.ExecAllocatorOption) (context.Context, func(), error) {
	path, err := Find(ctx)
	if err != nil {
		return nil, nil, err
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath(path), chromedp.WindowSize(width, height))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // it refuses root otherwise
	}
	options = append(options, flags...)
	process, end := chromedp.NewExecAllocator(ctx, options...)
	page, closePage := chromedp.NewContext(process)
	stop := func() { closePage(); end() }
	if err := chromedp.Do(page); err != nil {
		stop()
		return nil, nil, fmt.Errorf("start %s: %w", path, err)
	}
	return page, stop, nil
}
