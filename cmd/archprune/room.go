package main

import (
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/archprune/archprune/internal/ui"
	"github.com/archprune/archprune/selector"
)

// compresses is more than the layers of a whole run are ever compressed by.
const compresses = 10

// hopeless reports whether so much room can't be enough for what a plan adds.
// Where archive and engine share a disk each removal makes room for the next
// image, so that nothing can be told.
func (w worth) hopeless(free int64) bool { return !w.SameDisk && w.Grows/compresses > free }

// checkRoom refuses a run that would end with a full disk after hours. What is
// not so clear is tried: an image that does not fit stays, and the others go.
func (a *app) checkRoom(c *cli.Context, plan selector.Plan) error {
	at, err := parsePlace(c.String("archive"))
	if err != nil || !at.local() || len(plan.With(selector.Archive)) == 0 {
		return err
	}
	room, err := diskOf(nearest(at.path))
	if err != nil {
		return nil // who can't tell does not refuse; writing will
	}
	w, err := estimate(c.Context, plan, nil, at)
	if err != nil || !w.hopeless(room.free) {
		return err
	}
	if f, err := a.open(c, at); err == nil { // it may have most of it
		defer f.Close()
		if w, err = estimate(c.Context, plan, f, at); err != nil {
			return err
		}
	}
	if !w.hopeless(room.free) {
		return nil
	}
	return fmt.Errorf("%s has %s free, and the run would add %s before compression: nothing was done; make room, choose fewer images, or name another place by --archive or ARCHPRUNE_ARCHIVE",
		ui.Clean(at.String()), ui.Size3(room.free), ui.Size3(w.Grows))
}
