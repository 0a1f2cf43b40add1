package main

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"
)

const appHelp = `{{.Name}} - {{.Usage}}

{{.Description}}

USAGE:
   {{.Name}} COMMAND [options] [arguments]

COMMANDS:{{range .VisibleCommands}}
   {{printf "%-16s" .Name}}{{.Usage}}{{end}}

'{{.Name}} COMMAND --help' tells more about a command.

` + exitHelp + "\n"

// Help is laid out for the narrowest terminal that people use.
const (
	helpWidth  = 80
	flagColumn = 27 // where the text about a flag begins
)

// commandHelp is the help of a command as a template without variables. The
// library's own repeats the names of a flag that may be given several times,
// and puts what is said about it in one line, however long.
func commandHelp(c *cli.Command) string {
	var b strings.Builder
	fmt.Fprintf(&b, "archprune %s - %s\n\nUSAGE:\n   archprune %[1]s [options]", c.Name, c.Usage)
	if c.ArgsUsage != "" {
		b.WriteString(" " + c.ArgsUsage)
	}
	b.WriteString("\n")
	if c.Description != "" {
		b.WriteString("\n" + c.Description + "\n")
	}
	b.WriteString("\nOPTIONS:\n")
	for _, f := range c.Flags {
		b.WriteString(flagHelp(f))
	}
	b.WriteString(flagHelp(&cli.BoolFlag{Name: "help", Aliases: []string{"h"}, Usage: "show this help"}))
	b.WriteString("\n" + exitHelp + "\n")
	return strings.ReplaceAll(b.String(), "{{", `{{"{{"}}`)
}

// flagHelp is a flag and what is said about it. A line break in its usage
// stays; the word in backquotes there is what the flag takes.
func flagHelp(f cli.Flag) string {
	doc := f.(cli.DocGenerationFlag)
	usage, takes := doc.GetUsage(), ""
	if before, rest, ok := strings.Cut(usage, "`"); ok {
		word, after, _ := strings.Cut(rest, "`")
		usage, takes = before+word+after, " "+word
	}
	if d, ok := f.(*cli.StringFlag); ok && d.DefaultText != "" {
		usage += " (default: " + d.DefaultText + ")"
	}
	for _, env := range doc.GetEnvVars() {
		usage += " [$" + env + "]"
	}
	names := "      --" + f.Names()[0]
	if len(f.Names()) > 1 {
		names = "  -" + f.Names()[1] + ", --" + f.Names()[0]
	}
	var b strings.Builder
	for _, line := range strings.Split(usage, "\n") {
		for _, part := range wrap(line, helpWidth-flagColumn, " ") {
			fmt.Fprintf(&b, "%-*s%s\n", flagColumn, names+takes, part)
			names, takes = "", ""
		}
	}
	return b.String()
}

// helpCommand is for those who type help as a word.
func (a *app) helpCommand() *cli.Command {
	return &cli.Command{
		Name:      "help",
		Usage:     "show the help of a command",
		ArgsUsage: "[COMMAND]",
		Hidden:    true,
		Action: func(c *cli.Context) error {
			app := c.Lineage()[len(c.Lineage())-2]
			if !c.Args().Present() {
				return cli.ShowAppHelp(app)
			}
			if app.App.Command(c.Args().First()) == nil {
				return noCommand(c.Args().First())
			}
			return cli.ShowCommandHelp(app, c.Args().First())
		},
	}
}

func noCommand(word string) error {
	return usagef("there is no command %q: see 'archprune --help'", word)
}
