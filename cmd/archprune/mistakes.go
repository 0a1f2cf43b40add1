package main

import (
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/archprune/archprune/internal/config"
)

// What a script makes of a variable that is not set is refused here: with the
// defaults in its place another engine or archive is meant, and nothing protected.

// notEmpty are flags whose absence means another place, or less care: no password,
// no signature, the newest image, the names of old.
var notEmpty = []string{"archive", "as", "at", "config", "context", "from", "host", "htpasswd", "sign-key", "tls-cert", "tls-key"}

// checkEmpty refuses an empty value for them: it must not be as if the flag were
// not there.
func checkEmpty(c *cli.Context) error {
	for _, f := range c.Command.Flags {
		name := f.Names()[0]
		if !slices.Contains(notEmpty, name) || !c.IsSet(name) || c.String(name) != "" {
			continue
		}
		what := "--" + name
		for _, variable := range f.(cli.DocGenerationFlag).GetEnvVars() {
			if value, ok := os.LookupEnv(variable); ok && value == "" {
				what = variable
			}
		}
		return usagef("%s is empty: give it a value, or leave it out", what)
	}
	return nil
}

// noVariable refuses a variable that is called like a setting which the
// environment can't have: who set it relies on it.
func (a *app) noVariable() error {
	var known []string
	for _, c := range a.commands() {
		for _, f := range c.Flags {
			known = append(known, f.(cli.DocGenerationFlag).GetEnvVars()...)
		}
	}
	for _, setting := range os.Environ() {
		variable, _, _ := strings.Cut(setting, "=")
		name, ours := strings.CutPrefix(variable, "ARCHPRUNE_")
		name = strings.ReplaceAll(strings.ToLower(name), "_", "-")
		if _, is := config.SettingKeys[name]; ours && is && !slices.Contains(known, variable) {
			return usagef("%s: there is no such variable: --%s, or %[2]s in the configuration, says that", variable, name)
		}
	}
	return nil
}

// swallowed finds a flag that would be taken for the value of the one before it:
// that value is missing, and the flag would be void, --dry-run too.
func swallowed(args []string, commands []*cli.Command) error {
	if len(args) < 2 {
		return nil
	}
	words := commandFirst(args[1:])
	i := slices.IndexFunc(commands, func(c *cli.Command) bool { return c.HasName(words[0]) })
	if i < 0 {
		return nil
	}
	flags := commands[i].Flags
	for j := 1; j < len(words) && words[j] != "--"; j++ {
		if !isFlag(words[j]) || !takesValue(flags, words[j]) {
			continue
		}
		if j++; j < len(words) && namesFlags(flags, words[j]) {
			return usagef("%s needs a value, and %s is a flag: see 'archprune %s --help'", words[j-1], words[j], words[0])
		}
	}
	return nil
}

// namesFlags reports whether a word is a flag, or several of one letter.
func namesFlags(flags []cli.Flag, word string) bool {
	known := func(name string) bool {
		return slices.ContainsFunc(flags, func(f cli.Flag) bool { return slices.Contains(f.Names(), name) })
	}
	name, _, _ := strings.Cut(strings.TrimLeft(word, "-"), "=")
	switch {
	case !isFlag(word) || name == "":
		return false
	case known(name):
		return true
	case strings.HasPrefix(word, "--"):
		return false
	}
	return !slices.ContainsFunc(strings.Split(name, ""), func(letter string) bool { return !known(letter) })
}

var zeroes = regexp.MustCompile(`^(|.*=)0+(\d+)$`)

// decimal takes from a number the zeroes before it, with which the library would
// read it as octal: 010 for 8.
func decimal(f cli.Flag, word string) string {
	if _, is := f.(*cli.IntFlag); is {
		return zeroes.ReplaceAllString(word, "$1$2")
	}
	return word
}
