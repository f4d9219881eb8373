// Command guest runs inside the virtual machine of tests/vm: it installs docker-sd's
// package and checks what docker-sd does under systemd, with control groups of
// version 2 and AppArmor. It prints a line for each check and one for all.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// check is a fact about docker-sd in this machine.
type check struct {
	name string
	run  func(context.Context, *host) error
	// boots is how the machine ends after the check, "" if it does not. The checks after this one
	// are those of the next boot.
	boots string
}

// The ends of a boot.
const (
	rebooted = "reboot"
	powerCut = "power cut"
)

const (
	shareDir = "/share"
	// checkLimit is for one check on an emulated machine.
	checkLimit = 30 * time.Minute
)

// host is this machine.
type host struct {
	// sandbox, busybox and bash are the test images.
	sandbox, busybox, bash string
	// modern says that the machine has the engine that tests/modern builds.
	modern bool
	// many is how many pods are created at once.
	many int
	progress
}

func main() {
	if len(os.Args) == 4 && os.Args[1] == mapsHugePages {
		os.Exit(mapHugePages(os.Args[2], os.Args[3]))
	}
	pattern := flag.String("run", "", "a regular expression for the names of checks to run")
	flag.Parse()
	ctx := context.Background()
	h, chosen, err := prepare(*pattern)
	failed := 0
	if err == nil {
		failed, err = runAll(ctx, h, chosen)
	}
	switch {
	case err != nil:
		fmt.Println("checks: they could not be made:", err)
	case failed > 0:
		fmt.Printf("checks: %d failed\n", failed)
	default:
		fmt.Println("checks: all ok")
	}
	if _, err := os.Stat(filepath.Join(shareDir, "keep")); err == nil {
		return
	}
	if err := runQuiet("systemctl", "poweroff"); err != nil {
		fmt.Println(err)
	}
}

// runQuiet runs a program that says something only when it fails.
func runQuiet(name string, args ...string) error {
	cmd := exec.Command(name, args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w %s", cmd, err, out)
	}
	return nil
}

// prepare reads what the machine was given.
func prepare(pattern string) (*host, *regexp.Regexp, error) {
	file, err := os.Open(filepath.Join(shareDir, "environment"))
	if err != nil {
		return nil, nil, err
	}
	defer file.Close()
	given := map[string]string{}
	for lines := bufio.NewScanner(file); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), "=")
		given[name] = value
	}
	if pattern == "" {
		pattern = given["PATTERN"]
	}
	many, err := strconv.Atoi(given["PODS"])
	if err != nil {
		return nil, nil, err
	}
	chosen, err := regexp.Compile(pattern)
	h := &host{many: many, sandbox: given["SANDBOX"], busybox: given["BUSYBOX"], bash: given["BASH"], modern: given["ENGINE"] == "modern"}
	if given["PATTERN"] == pattern { // and it was not started by hand
		err = errors.Join(err, h.restore())
	}
	return h, chosen, err
}

// runAll returns how many checks failed. Without the first ones, which install
// docker-sd, there is nothing to check.
func runAll(ctx context.Context, h *host, chosen *regexp.Regexp) (int, error) {
	all := checks()
	for i := h.Next; i < len(all); i++ {
		c := all[i]
		if !chosen.MatchString(c.name) && !first(c) {
			continue
		}
		began := time.Now()
		bounded, cancel := context.WithTimeout(ctx, checkLimit)
		err := c.run(bounded, h)
		cancel()
		if err != nil {
			h.Failed++
			fmt.Printf("FAIL %s: %s\n", c.name, strings.ReplaceAll(strings.TrimSpace(err.Error()), "\n", " | "))
			if first(c) {
				return h.Failed, errors.New("docker-sd has no sandbox")
			}
			continue
		}
		fmt.Printf("ok %s (%s)\n", c.name, time.Since(began).Round(time.Second))
		if c.boots != "" {
			return h.Failed, h.bootsAgain(i, c)
		}
	}
	return h.Failed, nil
}

// first are the checks without which there is nothing to check.
func first(c check) bool { return c.name == "install" || c.name == "pool" }

// sh runs a script and returns what it prints.
func sh(ctx context.Context, script string) (string, error) {
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", script)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "SYSTEMD_COLORS=0", "SYSTEMD_PAGER=cat")
	out, err := cmd.CombinedOutput()
	text := strings.TrimSpace(string(out))
	if err != nil {
		return text, fmt.Errorf("%s: %w: %s", script, err, text)
	}
	return text, nil
}

// says wants a script to print a text.
func says(ctx context.Context, script, want string) error {
	got, err := sh(ctx, script)
	if err != nil {
		return err
	}
	if got != want {
		return fmt.Errorf("%s printed %q, want %q", script, got, want)
	}
	return nil
}

// await waits until a condition gives no error, and returns its last one otherwise.
func await(ctx context.Context, what string, condition func() error) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for {
		err := condition()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited for %s: %w", what, err)
		case <-tick.C:
		}
	}
}
