package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/selector"
)

// target is a record that the user means.
type target struct {
	record *archive.Record
	names  []string // to give; nil is all of its names

	refused error // why the record must not be used
	hidden  error // a record that can't be read may be what a pattern means
}

// anyHidden reports whether there may be a newer image of which nobody can tell.
func anyHidden(targets []target) bool {
	return slices.ContainsFunc(targets, func(t target) bool { return t.hidden != nil })
}

// wanted returns the records that the arguments mean, each once, as far as they
// are trusted.
func wanted(catalog *archive.Catalog, args []string, all bool, at time.Time) ([]target, error) {
	targets, err := meant(catalog, args, all, at)
	trusted := slices.DeleteFunc(slices.Clone(targets), func(t target) bool { return t.refused != nil })
	if len(targets) > 0 && len(trusted) == 0 {
		err = fmt.Errorf("%s: %w", allNames(targets[0].record), targets[0].refused)
	}
	return trusted, err
}

// meant returns the records that the arguments mean, each once, whether they
// are trusted or not: in the place of one that is refused no older one comes.
func meant(catalog *archive.Catalog, args []string, all bool, at time.Time) ([]target, error) {
	switch {
	case all && len(args) > 0:
		return nil, usagef("--all restores everything: give no names with it")
	case all:
		args = []string{"**"}
	case len(args) == 0:
		return nil, usagef("name what to restore, such as demo-api:2.3; 'archprune list' shows what there is")
	}
	var targets []target
	for _, arg := range args {
		found, err := matching(catalog, arg, at)
		if err != nil {
			return nil, err
		}
		for _, t := range found {
			if !slices.ContainsFunc(targets, func(o target) bool { return o.record == t.record }) {
				targets = append(targets, t)
			}
		}
	}
	shareNames(targets)
	return targets, nil
}

// shareNames gives a name that several targets have to the newest of them, as
// a pattern does: in the order in which they were named, latest would come with
// an old one and stand in the way of the new. A target that has no other name
// keeps it, and the restore tells of the conflict.
func shareNames(targets []target) {
	for i, t := range targets {
		own := slices.DeleteFunc(slices.Clone(t.given()), func(name string) bool {
			return slices.ContainsFunc(targets, func(o target) bool {
				return o.record.Archived.After(t.record.Archived) && slices.Contains(o.given(), name)
			})
		})
		if len(own) > 0 && len(own) < len(t.given()) {
			targets[i].names = own
		}
	}
}

// given are the names that the image is to have.
func (t target) given() []string {
	if t.names == nil {
		return t.record.References
	}
	return t.names
}

// matching returns what one argument means. A pattern means many images at
// once, and each gets the names of which it is the newest: a tag like latest
// stands in many records, and must not end at an old one.
func matching(catalog *archive.Catalog, arg string, at time.Time) ([]target, error) {
	if !strings.ContainsAny(arg, "*?[{") {
		r, err := find(catalog, arg, at)
		if err != nil {
			return nil, err
		}
		return []target{{record: r}}, nil
	}
	patterns, err := selector.ParsePatterns([]string{arg})
	if err != nil {
		return nil, usageError{err}
	}
	var targets []target
	seen := map[string]bool{}
	for _, r := range catalog.Known(at) {
		names := slices.DeleteFunc(slices.Clone(r.References), func(ref string) bool { return seen[ref] })
		matches := func(ref string) bool { _, ok := patterns.MatchReference(ref); return ok }
		if slices.ContainsFunc(names, matches) {
			t := target{record: r, names: names, refused: catalog.Refused(r)}
			if t.refused == nil {
				t.hidden = catalog.NewerBad(r, names[0], at)
			}
			targets = append(targets, t)
		}
		for _, ref := range names {
			seen[ref] = true
		}
	}
	if len(targets) == 0 {
		return nil, fmt.Errorf("nothing in the archive matches %q: 'archprune list' shows what there is", arg)
	}
	return targets, nil
}

// find is the catalog's, with an answer for what came to the archive later.
func find(catalog *archive.Catalog, wanted string, at time.Time) (*archive.Record, error) {
	r, err := catalog.Find(wanted, at)
	if err == nil || at.IsZero() || !errors.Is(err, archive.ErrNotFound) {
		return r, err
	}
	for _, first := range slices.Backward(catalog.Records) {
		if r, _ := catalog.Find(wanted, first.Archived); r != nil {
			return nil, fmt.Errorf("%q was not in the archive at %s: it was first archived at %s",
				wanted, at.UTC().Format(time.RFC3339), r.Archived.UTC().Format(time.RFC3339))
		}
	}
	return nil, err
}
