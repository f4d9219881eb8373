// Command trees makes a tree of folders that is hard to remove, inside a pod:
//
//	trees deep COUNT FOLDER    folders inside one another
//	trees wide COUNT FOLDER    empty files beside one another
//
// It prints "made" when it is done.
package main

import (
	"fmt"
	"os"
	"strconv"
	"syscall"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "trees: %v\n", err)
		os.Exit(1)
	}
	fmt.Println("made")
}

func run(args []string) error {
	if len(args) != 3 {
		return fmt.Errorf("want deep or wide, a count and a folder, not %q", args)
	}
	count, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	if err := os.MkdirAll(args[2], 0o755); err != nil {
		return err
	}
	// The path would soon be too long; so the program goes where it makes the next.
	if err := os.Chdir(args[2]); err != nil {
		return err
	}
	switch args[0] {
	case "deep":
		return deep(count)
	case "wide":
		return wide(count)
	}
	return fmt.Errorf("want deep or wide, not %q", args[0])
}

func deep(count int) error {
	for i := range count {
		if err := syscall.Mkdir("d", 0o755); err != nil {
			return fmt.Errorf("folder %d: %w", i, err)
		}
		if err := syscall.Chdir("d"); err != nil {
			return fmt.Errorf("folder %d: %w", i, err)
		}
	}
	return nil
}

func wide(count int) error {
	for i := range count {
		fd, err := syscall.Open(strconv.Itoa(i), syscall.O_CREAT|syscall.O_WRONLY|syscall.O_CLOEXEC, 0o644)
		if err != nil {
			return fmt.Errorf("file %d: %w", i, err)
		}
		if err := syscall.Close(fd); err != nil {
			return fmt.Errorf("file %d: %w", i, err)
		}
	}
	return nil
}
