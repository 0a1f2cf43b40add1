package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/archive/retention"
	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/internal/config"
	"github.com/archprune/archprune/internal/ui"
	"github.com/archprune/archprune/selector"
)

// The exit codes, which scripts may depend on.
const (
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitPartial     = 3
	exitDamaged     = 4
	exitBusy        = 75 // as sysexits.h has it: try again later
	exitInterrupted = 130
)

const exitHelp = `EXIT STATUS:
     0  done, or there was nothing to do
     1  failed; nothing was lost
     2  wrong usage
     3  done in part: some images could not be archived, removed or restored
     4  the archive is damaged, or has what is not trusted
    75  another run is at work on the engine: try again later
   130  interrupted`

// errPartial ends a run in which some images stayed, or were not there. They
// have been reported.
var errPartial = errors.New("some images stayed")

// errNone ends a run of several images that all failed. Each was reported.
var errNone = errors.New("no image was restored")

// errDamaged ends a run that found damage, or what is not trusted. It has been
// reported.
var errDamaged = errors.New("the archive is damaged")

// usageError is about what the user typed.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usagef(format string, args ...any) error {
	return usageError{fmt.Errorf(format, args...)}
}

// exitCode is the one place that maps errors to exit codes.
func exitCode(err error) int {
	var usage usageError
	var damaged *archive.DamageError
	var busy busyError
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, context.Canceled):
		return exitInterrupted
	case errors.As(err, &usage), errors.Is(err, selector.ErrUsage), errors.Is(err, retention.ErrUsage),
		errors.Is(err, ui.ErrFormat), errors.Is(err, config.ErrBad):
		return exitUsage
	case errors.Is(err, errDamaged), errors.Is(err, archive.ErrBadRecord), errors.Is(err, archive.ErrFormat), errors.Is(err, archive.ErrUntrusted), errors.As(err, &damaged):
		return exitDamaged
	case errors.Is(err, errPartial):
		return exitPartial
	case errors.As(err, &busy):
		return exitBusy
	default:
		return exitFailed
	}
}

// complain prints an error, unless it was reported where it happened.
func complain(log *ui.Messages, err error) {
	switch {
	case err == nil, errors.Is(err, errPartial), errors.Is(err, errDamaged), errors.Is(err, errNone):
	case errors.Is(err, context.Canceled):
		log.Error("interrupted: no image is half archived or half removed; run it again to go on", "exit_status", exitCode(err))
	default:
		log.Error(oneLine(err)+advice(err), "exit_status", exitCode(err))
	}
}

// advice is what a person can do about an error that does not say so itself.
func advice(err error) string {
	if errors.Is(err, engine.ErrUnavailable) {
		const another = "-H, -c or DOCKER_HOST names another engine."
		switch {
		case errors.Is(err, fs.ErrPermission):
			return ": root and the group of that socket are let in. " + another
		case strings.HasSuffix(err.Error(), "?"):
			return " " + another
		}
		return ". " + another
	}
	if errors.Is(err, archive.ErrLeaseLost) {
		return ". Others may have gone on without this run, so it did nothing more: run it again."
	}
	var damaged *archive.DamageError
	if errors.As(err, &damaged) {
		return ". 'archprune verify' tells what else is damaged, and what can be done."
	}
	return ""
}

// oneLine is an error as one line: joined errors come with line breaks.
func oneLine(err error) string {
	text := err.Error()
	// The names of temporary files tell nobody anything.
	var path *fs.PathError
	if errors.As(err, &path) && strings.Contains(path.Path, "/archprune/tmp/") {
		text = strings.ReplaceAll(text, path.Error(), path.Err.Error())
	}
	lines := strings.FieldsFunc(text, func(r rune) bool { return r == '\n' })
	return ui.Clean(strings.Join(lines, "; "))
}
