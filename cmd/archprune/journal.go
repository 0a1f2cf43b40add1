package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/adrg/xdg"
	"github.com/urfave/cli/v2"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/internal/durable"
	"github.com/archprune/archprune/internal/journal"
	"github.com/archprune/archprune/prune"
	"github.com/archprune/archprune/selector"
)

func journalFlag() cli.Flag {
	return &cli.StringFlag{Name: "journal", EnvVars: []string{"ARCHPRUNE_JOURNAL"}, DefaultText: defaultJournal(),
		Usage: "the `FOLDER` that keeps what runs did, for 'archprune log'"}
}

// defaultJournal is no part of the archive: that may be far, or shared, or gone
// when somebody asks what happened on this host.
func defaultJournal() string {
	if os.Geteuid() == 0 {
		return "/var/log/archprune"
	}
	return filepath.Join(xdg.StateHome, "archprune")
}

func journalFolder(c *cli.Context) string {
	if folder := c.String("journal"); folder != "" {
		return folder
	}
	return defaultJournal()
}

// journaled carries out what changes an engine or an archive, and keeps a
// journal of it. Where images leave the engine the journal is a must: after a
// crash it is what tells where they went. All else goes on without.
func (a *app) journaled(c *cli.Context, s journal.Start, must bool, do func() error) error {
	folder := journalFolder(c)
	s.Version, s.Command = version, c.Command.Name
	s.Host, _ = os.Hostname()
	s.Arguments = withoutSecrets(a.args[min(1, len(a.args)):])
	w, err := journal.Begin(folder, s)
	switch {
	case err != nil && must:
		return fmt.Errorf("no image was removed, since the journal in %s can't be written: %w; --journal or ARCHPRUNE_JOURNAL names another folder", folder, durable.WithoutName(err))
	case err != nil:
		a.warn("'archprune log' will not have this run: the journal in %s can't be written: %v", folder, durable.WithoutName(err))
	}
	a.journal = w
	err = do()
	came := outcome(c.Context, err)
	if ended := w.End(exitCode(came), came); ended != nil {
		a.warn("%v", ended)
	}
	return err
}

// withoutSecrets are the arguments of a command without passwords in addresses,
// and without the command of a hook, in which anything may stand.
func withoutSecrets(args []string) []string {
	var clean []string
	hook := false // the next one is a hook's command
	for _, arg := range args {
		name, _, joined := strings.Cut(arg, "=")
		isHook := strings.HasPrefix(arg, "-") && strings.TrimLeft(name, "-") == "hook"
		switch {
		case hook:
			arg = "..."
		case isHook && joined:
			arg = name + "=..."
		}
		hook = !hook && isHook && !joined
		clean = append(clean, noPassword(arg))
	}
	return clean
}

// jot notes what became of an image where nothing rests on the note.
func (a *app) jot(img journal.Image) {
	if err := a.journal.Note(img); err != nil {
		a.warn("%v", err)
	}
}

// recordImage is an image of the archive for the journal.
func (a *app) recordImage(r *archive.Record, outcome string, failed error) journal.Image {
	img := journal.Image{Outcome: outcome, ID: r.ImageID.String(), References: r.References, Record: r.Name()}
	if failed != nil {
		img.Reason = oneLine(failed)
	}
	return img
}

// archiveName is where an archive is, wherever the reader stands.
func archiveName(value string) string {
	at, err := parsePlace(value)
	if err != nil {
		return noPassword(value)
	}
	if at.local() {
		if abs, err := filepath.Abs(at.path); err == nil {
			at.path = abs
		}
	}
	return at.String()
}

func planOf(p selector.Plan) *journal.Plan {
	n := count(p)
	return &journal.Plan{Archive: n.archive, Remove: n.remove, Keep: n.keep}
}

// testOnlyIntended lets a test stop a run when a removal has been noted and not
// begun. Nothing but tests sets it.
var testOnlyIntended func()

// runJournal is the journal of a plan that is carried out.
type runJournal struct {
	to      *journal.Writer
	archive string
}

var _ prune.Journal = runJournal{}

func (j runJournal) Removing(img engine.Image, record *archive.Record) error {
	err := j.to.Commit(j.image(img, record, journal.Removing))
	if testOnlyIntended != nil {
		testOnlyIntended()
	}
	return err
}

func (j runJournal) Became(res prune.Result) error {
	img := j.image(res.Decision.Image, res.Record, string(res.Outcome))
	img.BuildParent = res.Decision.BuildParent()
	if res.Err != nil {
		img.Reason = why(res)
	}
	switch res.Outcome {
	case prune.Archived, prune.AlreadyArchived: // the archive tells it too
		return j.to.Note(img)
	}
	return j.to.Commit(img)
}

func (j runJournal) image(img engine.Image, record *archive.Record, outcome string) journal.Image {
	line := journal.Image{Outcome: outcome, ID: img.ID.String(), References: img.References}
	if record != nil {
		line.Archive, line.Record = j.archive, record.Name()
	}
	return line
}
