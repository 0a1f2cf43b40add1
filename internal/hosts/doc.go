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
//	make hosts
//
// runs them on the local file system for seconds, and on ext4, XFS and sshfs for
// minutes each, one clock being ten minutes ahead. What they get done in the
// seconds of a lease depends on the machine, so no other test runs them.
package hosts
