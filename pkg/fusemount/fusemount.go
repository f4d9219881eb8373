// Package fusemount lets programs in a container mount FUSE file systems without the right
// to mount anything else. Libraries for such file systems run a command, fusermount, where
// they may not mount themselves. Command is that command: it asks the init of the sandbox
// over a socket, and a process of the init, see Answer, looks at who asks and what for, and
// mounts. A mount is of type fuse, never honours set-user-id programs or device nodes, and
// lies over an emptyDir of the pod.
//
// What the two say to each other has no versions: the sandbox's init brings the command.
package fusemount
