package eviction

import "context"

// Amount of what is on a disk.
type Amount struct{ Bytes, Inodes int64 }

// User is a pod that can be evicted, with what it has on the two disks.
type User struct {
	UID, Name string
	// Folder is on the disk of pods' folders, Data on that of the engine's data.
	Folder, Data Amount
	// Request is what the pod asked for in bytes.
	Request    int64
	Containers []Container
}

// Container is what one container of a pod has written, logs included.
type Container struct {
	Name          string
	Used, Request int64
}

// Pods are where users come from.
type Pods interface {
	// DiskUsers measures every pod that can be evicted, which reads all that they have
	// written.
	DiskUsers(ctx context.Context) []User
	// Evict ends a pod with a message. The channel is closed once all that it can let
	// go of is gone; it is nil for a pod that has ended by itself.
	Evict(uid, message string) <-chan struct{}
}
