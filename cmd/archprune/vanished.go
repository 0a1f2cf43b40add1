package main

import (
	"errors"
	"fmt"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/internal/journal"
)

// vanished refuses to make an archive where an earlier run of this host had one
// already: a disk or a share that is not mounted tonight leaves an empty folder,
// and what is archived below it is hidden by the next mount.
func (a *app) vanished(c *cli.Context) error {
	at, err := parsePlace(c.String("archive"))
	if err != nil || !at.local() {
		return err
	}
	f, err := a.open(c, at)
	if err == nil {
		return f.Close()
	}
	if !errors.Is(err, archive.ErrNoArchive) {
		return nil // which writing to it tells
	}
	if when, was := archivedTo(journalFolder(c), archiveName(c.String("archive"))); was {
		return fmt.Errorf("%w, and a run of %s archived images there: nothing was done; is its disk mounted? 'archprune save' makes a new archive",
			err, when.UTC().Format(time.RFC3339))
	}
	return nil
}

// archivedTo finds the newest run of a journal that put images into an archive.
func archivedTo(folder, name string) (time.Time, bool) {
	names, err := journal.Names(folder)
	if err != nil {
		return time.Time{}, false // without a journal nothing leaves the engine
	}
	for _, run := range names {
		r, err := journal.Read(folder, run)
		if err == nil && r.Start.Archive == name && r.Count("archived", "archived+removed") > 0 {
			return r.Started, true
		}
	}
	return time.Time{}, false
}
