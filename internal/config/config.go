// Package config reads configuration files: settings that stand in for flags,
// and policies for single repositories. Of everything it keeps where it was
// said, so that a person can be told.
package config

import (
	"errors"
	"fmt"
	"maps"
	"slices"
)

// ErrBad means that a file says something that can't be meant. The error names
// the file and the line.
var ErrBad = errors.New("bad configuration")

// Origin is where something was said.
type Origin struct {
	File string
	Line int // from 1
}

// String is such as /etc/archprune/config.yaml:3.
func (o Origin) String() string { return fmt.Sprintf("%s:%d", o.File, o.Line) }

// Errorf is an error about what was said here. It wraps [ErrBad].
func (o Origin) Errorf(format string, args ...any) error {
	return &badError{o, fmt.Sprintf(format, args...)}
}

type badError struct {
	at  Origin
	why string
}

func (e *badError) Error() string        { return e.at.String() + ": " + e.why }
func (e *badError) Is(target error) bool { return target == ErrBad }

// Setting is what was said for one flag: a value for each time that the flag
// would be given.
type Setting struct {
	Values []string
	From   Origin
	Weaker []Setting // of weaker files, where these do not replace them
}

// Section holds settings by their name, which is that of a flag.
type Section map[string]Setting

// Names lists what is set, sorted.
func (s Section) Names() []string { return slices.Sorted(maps.Keys(s)) }

// Policy is what holds for some repositories.
type Policy struct {
	Name      string
	From      Origin
	Settings  Section // of [PolicyKeys]
	Retention Section // of [RetentionKeys]
}

// Repositories are patterns of the repositories that the policy is for; there is
// at least one.
func (p Policy) Repositories() []string { return p.Settings[repositories].Values }

// Config is what all files together say. The zero Config says nothing.
type Config struct {
	Files     []string // that were read, the weakest first
	Settings  Section  // of [SettingKeys]
	Retention Section  // of [RetentionKeys]
	Policies  []Policy // sorted by name
}

// protect adds up over files: what one protects always, another that is there
// for its own sake must not give free.
const protect = "protect"

// over returns what holds where strong is stronger than weak. A policy replaces
// the whole of another of that name.
func over(strong, weak Config) Config {
	policies := map[string]Policy{}
	for _, p := range slices.Concat(weak.Policies, strong.Policies) {
		policies[p.Name] = p
	}
	c := Config{Files: slices.Concat(weak.Files, strong.Files), Settings: Section{}, Retention: Section{}}
	for _, from := range []Config{weak, strong} {
		maps.Copy(c.Settings, from.Settings)
		maps.Copy(c.Retention, from.Retention)
	}
	if s, ok := strong.Settings[protect]; ok {
		if w, ok := weak.Settings[protect]; ok {
			s.Weaker = slices.Concat(w.Weaker, []Setting{{Values: w.Values, From: w.From}})
			c.Settings[protect] = s
		}
	}
	for _, name := range slices.Sorted(maps.Keys(policies)) {
		c.Policies = append(c.Policies, policies[name])
	}
	return c
}
