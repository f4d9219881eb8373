// Package parity holds the engine of pkg/engine/enginetest to what a real one does.
package parity
