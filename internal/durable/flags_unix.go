//go:build unix

package durable

import "syscall"

// What else to open something with, so that nothing else is opened nor waited
// for.
const (
	asFile   = syscall.O_NONBLOCK | syscall.O_NOFOLLOW
	asFolder = syscall.O_NONBLOCK | syscall.O_DIRECTORY
)
