//go:build faults

package main

import "github.com/intertwin-eu/interlink-docker-plugin/pkg/fault"

// armFaults has docker-sd die where a test wants it to.
func armFaults(getenv func(string) string) error { return fault.Arm(getenv(fault.Variable)) }
