package main

import (
	"slices"
	"strings"

	"github.com/urfave/cli/v2"
)

// permute puts the words that were typed in the library's order: the command,
// its flags, its arguments. Docker's users type flags between arguments, and
// some before the command. What follows -- stays.
func permute(args []string, commands []*cli.Command) []string {
	if len(args) < 2 {
		return args
	}
	if len(args) == 2 && (args[1] == "--version" || args[1] == "-v") {
		return []string{args[0], "version"} // docker's has both
	}
	words := commandFirst(args[1:])
	i := slices.IndexFunc(commands, func(c *cli.Command) bool { return c.HasName(words[0]) })
	if i < 0 {
		return args
	}
	flags, rest := divide(words[1:], commands[i])
	if len(rest) > 0 {
		flags = append(flags, "--")
	}
	return slices.Concat(args[:1], words[:1], flags, rest)
}

// divide tells flags, with their values, from arguments.
func divide(words []string, c *cli.Command) (flags, rest []string) {
	for ; len(words) > 0; words = words[1:] {
		word := words[0]
		if word == "--" {
			return flags, append(rest, words[1:]...)
		}
		if !isFlag(word) {
			rest = append(rest, word)
			continue
		}
		f := findFlag(c.Flags, word)
		flags = append(flags, decimal(f, word))
		if takesValue(c.Flags, word) && len(words) > 1 {
			words = words[1:]
			flags = append(flags, decimal(f, words[0]))
		}
	}
	return flags, rest
}

// commandFirst moves the general flags that stand before a command behind its
// name. Where no command follows, words stay as they are.
func commandFirst(words []string) []string {
	n := beforeCommand(words)
	if n >= len(words) {
		return words
	}
	return slices.Concat(words[n:n+1], words[:n], words[n+1:])
}

// beforeCommand counts the words of general flags and their values at the
// beginning, with a value that is not there yet.
func beforeCommand(words []string) int {
	general, n := generalFlags(), 0
	for n < len(words) && isFlag(words[n]) && findFlag(general, words[n]) != nil {
		if takesValue(general, words[n]) {
			n++
		}
		n++
	}
	return n
}

func isFlag(word string) bool { return len(word) > 1 && word[0] == '-' }

// findFlag is the flag that a word names, or nil.
func findFlag(flags []cli.Flag, word string) cli.Flag {
	name, _, _ := strings.Cut(strings.TrimLeft(word, "-"), "=")
	if !strings.HasPrefix(word, "--") && name != "" {
		name = name[len(name)-1:] // of -fn, n decides
	}
	for _, f := range flags {
		if slices.Contains(f.Names(), name) {
			return f
		}
	}
	return nil
}

// takesValue reports whether the word after this flag belongs to it.
func takesValue(flags []cli.Flag, word string) bool {
	if strings.Contains(word, "=") {
		return false
	}
	f := findFlag(flags, word)
	_, isBool := f.(*cli.BoolFlag)
	return f != nil && !isBool
}
