package main

import (
	"fmt"

	"github.com/archprune/archprune/internal/ui"
)

// outcomes tells what became of several images, each by itself. For people what
// was done is told at the end, when no progress is in the way.
type outcomes struct {
	a        *app
	progress *ui.Progress
	json     string // kind of the JSON lines; empty for people
	quiet    bool   // people get IDs alone
	lines    []string
	done     int
	failures []error
	logged   int // of failures
}

// add notes what was done with an image: v for machines; line, where not empty,
// for people.
func (o *outcomes) add(v any, id, line string) error {
	o.done++
	o.log()
	if o.quiet {
		line = ui.ShortID(id)
	}
	o.lines = append(o.lines, line)
	return o.write(v)
}

// fail notes what was not. Nothing else stops for it.
func (o *outcomes) fail(v any, err error) error {
	o.failures = append(o.failures, err)
	o.log()
	return o.write(v)
}

// log tells of failures at once, but for one that turns out to be all there is:
// it is the command's own error.
func (o *outcomes) log() {
	if o.done+len(o.failures) < 2 {
		return
	}
	for ; o.logged < len(o.failures); o.logged++ {
		o.a.log.Error(oneLine(o.failures[o.logged]))
	}
}

func (o *outcomes) write(v any) error {
	if o.json == "" {
		return nil
	}
	return ui.NewJSONLines(o.a.stdout).Write(o.json, v)
}

// flush ends the progress and tells people what was done, the last lines last.
func (o *outcomes) flush(last ...string) {
	o.progress.Close()
	if o.json != "" {
		return
	}
	if o.quiet {
		last = nil
	}
	for _, line := range append(o.lines, last...) {
		if line != "" {
			fmt.Fprintln(o.a.stdout, ui.Clean(line))
		}
	}
}

// err is what the command ends with.
func (o *outcomes) err() error {
	var failed error
	for _, err := range o.failures {
		failed = worse(failed, err)
	}
	switch {
	case o.done == 0 && len(o.failures) == 1:
		return o.failures[0]
	case o.done == 0 && failed == errPartial:
		return errNone
	}
	return failed
}

// jsonKind is the kind of a command's JSON lines where it is to print them.
func jsonKind(json bool, kind string) string {
	if json {
		return kind
	}
	return ""
}
