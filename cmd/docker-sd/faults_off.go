//go:build !faults

package main

// armFaults does nothing: this build has no faults.
func armFaults(func(string) string) error { return nil }
