package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/internal/journal"
	"github.com/archprune/archprune/internal/ui"
)

// completeWithin is how long a person waits for a completion at most. Nothing but
// tests changes it.
var completeWithin = 2 * time.Second

// complete prints what may stand in place of the last of words, which were typed
// behind the program's name: one on each line, some with a tab and what it is.
// It prints nothing where a file may stand, or where it can't tell: a shell has
// no place for errors.
func complete(ctx context.Context, words []string, stdout io.Writer) {
	ctx, cancel := context.WithTimeout(ctx, completeWithin)
	defer cancel()
	if len(words) == 0 {
		words = []string{""}
	}
	a := &app{stdout: io.Discard, stderr: io.Discard, log: newLog(io.Discard), stdin: strings.NewReader(""), now: time.Now}
	last := words[len(words)-1]
	for _, candidate := range a.candidates(ctx, words) {
		if word, what, ok := strings.Cut(candidate, "\t"); !strings.HasPrefix(word, last) {
			continue
		} else if ok {
			fmt.Fprintf(stdout, "%s\t%s\n", ui.Clean(word), ui.Clean(what))
		} else {
			fmt.Fprintln(stdout, ui.Clean(word))
		}
	}
}

func (a *app) candidates(ctx context.Context, words []string) []string {
	cmds := a.commands()
	if beforeCommand(words) == len(words)-1 {
		return commandNames(cmds)
	}
	words = commandFirst(words)
	i := slices.IndexFunc(cmds, func(c *cli.Command) bool { return c.HasName(words[0]) })
	if i < 0 {
		return nil
	}
	if flag, ok := isValueOf(cmds[i], words); ok {
		return values[flag]
	}
	if strings.HasPrefix(words[len(words)-1], "-") {
		return flagNames(cmds[i])
	}
	return a.arguments(ctx, cmds[i], words)
}

func commandNames(cmds []*cli.Command) []string {
	var names []string
	for _, c := range cmds {
		if !c.Hidden {
			names = append(names, c.Name+"\t"+c.Usage)
		}
	}
	return append(names, "help\tshow the help of a command")
}

func flagNames(c *cli.Command) []string {
	var names []string
	for _, f := range append(c.Flags, &cli.BoolFlag{Name: "help", Usage: "show this help"}) {
		usage, _, _ := strings.Cut(f.(cli.DocGenerationFlag).GetUsage(), "\n")
		names = append(names, "--"+f.Names()[0]+"\t"+strings.ReplaceAll(usage, "`", ""))
	}
	return names
}

// arguments are what may stand as an argument of a command. It is run as far as
// its flags and configuration go, since these say where the archive is.
func (a *app) arguments(ctx context.Context, c *cli.Command, words []string) []string {
	var found []string
	sources := map[string]func(*cli.Context) []string{
		"help":       func(*cli.Context) []string { return commandNames(a.commands()) },
		"completion": func(*cli.Context) []string { return shells() },
		"config":     func(*cli.Context) []string { return []string{"show"} },
		"save":       a.taggedReferences,
		"log":        notedRuns,
		"remember":   func(c *cli.Context) []string { return a.archivedReferences(c, true) },
	}
	for _, name := range []string{"restore", "list", "show", "verify", "export", "copy", "forget", "pin", "unpin"} {
		sources[name] = func(c *cli.Context) []string { return a.archivedReferences(c, false) }
	}
	source, ok := sources[c.Name]
	if !ok {
		return nil
	}
	app := a.cli()
	app.Command(c.Name).Action = func(c *cli.Context) error {
		found = source(c)
		return nil
	}
	typed := append([]string{"archprune"}, words[:len(words)-1]...)
	_ = app.RunContext(ctx, permute(typed, app.Commands))
	return found
}

// notedRuns are the IDs of runs, newest first, each with when it began.
func notedRuns(c *cli.Context) []string {
	names, _ := journal.Names(journalFolder(c))
	found := make([]string, len(names))
	for i, name := range names {
		found[i] = journal.Run{Name: name}.ID() + "\t" + journal.StartOf(name).Format(time.RFC3339)
	}
	return found
}

// archivedReferences are the names in the archive, or those that were forgotten.
func (a *app) archivedReferences(c *cli.Context, forgotten bool) []string {
	from := c.String("from")
	if from == "" {
		from = c.String("archive")
	}
	f, err := a.readArchiveAt(c, from)
	if err != nil {
		return nil
	}
	defer f.Close()
	catalog, err := f.Catalog(c.Context)
	if err != nil {
		return nil
	}
	records := catalog.Records
	if forgotten {
		records = catalog.Forgotten
	}
	return sortedNames(records, func(r *archive.Record) []string { return r.References })
}

// taggedReferences are the names in the engine.
func (a *app) taggedReferences(c *cli.Context) []string {
	eng, err := a.engine(c)
	if err != nil {
		return nil
	}
	defer eng.Close()
	snapshot, err := eng.Snapshot(c.Context)
	if err != nil {
		return nil
	}
	return sortedNames(snapshot.Images, func(img engine.Image) []string { return img.References })
}

func sortedNames[T any](of []T, names func(T) []string) []string {
	var all []string
	for _, each := range of {
		all = append(all, names(each)...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
