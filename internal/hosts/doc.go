// Package hosts runs archprune on several hosts that share one archive folder,
// at once and without a pause: they import, save, restore, export, forget,
// verify and collect what they can, are killed, and are stopped until their
// lease is over.
//
// A host is a process in UTS, process and mount namespaces of its own: it has
// its own name, and as on another machine nobody can see that it is no more.
// The lease is good for seconds instead of minutes, lest the test waits for
// hours; that, and a clock that is ahead, is built into the program under test
// by a changed copy of the source (go build -overlay).
//
//	go test ./internal/hosts     a few seconds, on the local file system
//	make hosts                   ext4, XFS and sshfs, minutes each, and one clock ten minutes ahead
package hosts
