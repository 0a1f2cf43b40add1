package engine

import (
	"fmt"
	"strings"
)

// An engine pushes to a registry by a name that begins with the registry's
// address, so an image borrows such a name for the time of its push. Each run
// has a few, by the address at which it listens and a word of its own. They pass
// from image to image, and last to placeholders: empty images that are removed
// with them. A name is never deleted from an image, since an engine deletes the
// image as well if it was the last one.

// BorrowedPath is the repository of all borrowed names.
const BorrowedPath = "archprune/push"

// PlaceholderLabel is a label of placeholders alone. Its value is the borrowed
// name.
const PlaceholderLabel = "archprune.placeholder-for"

// BorrowedName is one of the names that a run lends to images for pushes to an
// address.
func BorrowedName(address, run string, n int) string {
	return fmt.Sprintf("%s/%s:%s%s-%d", address, BorrowedPath, borrowedTag, run, n)
}

const borrowedTag = "borrowed-"

// BorrowedAt returns the address that a borrowed name or a digest name of the
// same repository is for, and whether it is one.
func BorrowedAt(name string) (address string, ok bool) {
	address, rest, ok := strings.Cut(name, "/")
	if !ok || !strings.HasPrefix(address, "127.0.0.1:") {
		return "", false
	}
	repository, found := strings.CutPrefix(rest, BorrowedPath)
	return address, found && (strings.HasPrefix(repository, ":") || strings.HasPrefix(repository, "@"))
}

// BorrowedBy returns the run that lent a borrowed name. Names from before runs
// had a word of their own have none.
func BorrowedBy(name string) (run string, ok bool) {
	_, tag, _ := strings.Cut(name, "/"+BorrowedPath+":"+borrowedTag)
	run, _, ok = strings.Cut(tag, "-")
	return run, ok
}

// Borrowed is a borrowed name that an engine has. Unless its run is at work, it
// was left by one that was killed.
type Borrowed struct {
	Name        string
	Placeholder string // ID of the placeholder that is there for it, where there is one
}
