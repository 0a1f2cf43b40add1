package main

import (
	"cmp"
	"errors"

	"github.com/urfave/cli/v2"

	"github.com/archprune/archprune/engine/docker"
	"github.com/archprune/archprune/internal/hostlock"
)

func lockWaitFlag() cli.Flag {
	return &cli.StringFlag{Name: "lock-wait", Usage: "wait up to `TIME` while another run of this host prunes the engine\n" +
		"Such as 30m; when it is over the exit status is 75."}
}

// busyError ends a run that did not get its turn.
type busyError struct{ advice string }

func (e busyError) Error() string {
	return "another save-and-prune of this host is at work on this engine; nothing was done: " + e.advice
}

// turn waits until no other run of this host prunes the engine. Two at once
// would lose nothing, but each would tell of images that the other took.
func (a *app) turn(c *cli.Context, eng *docker.Client) (release func(), err error) {
	wait, err := waitOf(c, "lock-wait")
	if err != nil {
		return nil, err
	}
	info, err := eng.Info(c.Context)
	if err != nil {
		return nil, err
	}
	release, err = hostlock.Take(c.Context, cmp.Or(info.ID, eng.Endpoint()), wait, func() {
		a.log.Info("another save-and-prune is at work on this engine: waiting for it, up to " + shortWait(wait))
	})
	switch {
	case errors.Is(err, hostlock.ErrBusy) && wait > 0:
		return nil, busyError{"--lock-wait " + shortWait(wait) + " was too short"}
	case errors.Is(err, hostlock.ErrBusy):
		return nil, busyError{"--lock-wait 30m waits for it"}
	case c.Context.Err() != nil:
		return nil, c.Context.Err()
	case err != nil:
		a.warn("whether another run is at work on this engine can't be told: %v", err)
		return func() {}, nil
	}
	return release, nil
}
