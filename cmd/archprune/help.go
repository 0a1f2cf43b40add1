package main

import (
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"
)

// appHelp is the help of the program as a template.
func appHelp() string {
	var general strings.Builder
	for _, f := range generalFlags() {
		general.WriteString(flagHelp(f))
	}
	return `{{.Name}} - {{.Usage}}

{{.Description}}

USAGE:
   {{.Name}} COMMAND [options] [arguments]

COMMANDS:{{range .VisibleCommands}}
   {{printf "%-16s" .Name}}{{.Usage}}{{end}}

OPTIONS that may also stand before the command:
` + general.String() + `
'{{.Name}} COMMAND --help' tells more about a command.

` + exitHelp + "\n"
}

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

// flagText is what is said about a flag.
type flagText struct{ names, takes, usage string }

// describeFlag reads a flag. The word in backquotes in its usage is what the
// flag takes.
func describeFlag(f cli.Flag) flagText {
	doc := f.(cli.DocGenerationFlag)
	text := flagText{usage: doc.GetUsage(), names: "      --" + f.Names()[0]}
	if before, rest, ok := strings.Cut(text.usage, "`"); ok {
		word, after, _ := strings.Cut(rest, "`")
		text.usage, text.takes = before+word+after, " "+word
	}
	if d, ok := f.(*cli.StringFlag); ok && d.DefaultText != "" {
		text.usage += " (default: " + d.DefaultText + ")"
	}
	for _, env := range doc.GetEnvVars() {
		text.usage += " [$" + env + "]"
	}
	if len(f.Names()) > 1 {
		text.names = "  -" + f.Names()[1] + ", --" + f.Names()[0]
	}
	return text
}

// flagHelp is a flag and what is said about it. A line break in its usage stays.
func flagHelp(f cli.Flag) string {
	text := describeFlag(f)
	first := text.names + text.takes
	var b strings.Builder
	if len(first) >= flagColumn {
		b.WriteString(first + "\n")
		first = ""
	}
	for _, line := range strings.Split(text.usage, "\n") {
		for _, part := range wrap(line, helpWidth-flagColumn, " ") {
			fmt.Fprintf(&b, "%-*s%s\n", flagColumn, first, part)
			first = ""
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

// commandFor is where those look who type a word that docker or other tools for
// backups have.
var commandFor = map[string]string{
	"prune": "save-and-prune ", "images": "list ", "inspect": "show ", "load": "import ", "pull": "restore ", "push": "save ",
	"rm": "forget ", "rmi": "forget ", "delete": "forget ", "remove": "forget ", "check": "verify ", "history": "log ",
}

func noCommand(word string) error {
	return usagef("there is no command %q: see 'archprune %s--help'", word, commandFor[word])
}
