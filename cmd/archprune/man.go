package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/cpuguy83/go-md2man/v2/md2man"
	"github.com/urfave/cli/v2"
)

// manCommand writes the manual pages; packages are built with it.
func (a *app) manCommand() *cli.Command {
	return &cli.Command{
		Name:      "man",
		Usage:     "write the manual pages into a folder",
		ArgsUsage: "FOLDER",
		Hidden:    true,
		Action: func(c *cli.Context) error {
			if c.Args().Len() != 1 {
				return usagef("man: want one folder to write to")
			}
			for name, page := range a.manPages() {
				if err := os.WriteFile(filepath.Join(c.Args().First(), name), md2man.Render([]byte(page)), 0o644); err != nil {
					return fmt.Errorf("writing manual pages: %w", err)
				}
			}
			return nil
		},
	}
}

// manPages are the pages in Markdown, by the name of their file: one for the
// program and one for each command.
func (a *app) manPages() map[string]string {
	app := a.cli()
	var list strings.Builder
	pages := map[string]string{}
	for _, c := range app.Commands {
		if c.Hidden {
			continue
		}
		fmt.Fprintf(&list, "**%s**\n: %s\n\n", c.Name, plainMarkdown(c.Usage))
		pages["archprune-"+c.Name+".1"] = manPage("archprune-"+c.Name, c.Usage,
			fmt.Sprintf("**archprune %s** [options] %s", c.Name, plainMarkdown(c.ArgsUsage)), c.Description, "# OPTIONS\n\n"+manOptions(c))
	}
	pages["archprune.1"] = manPage("archprune", app.Usage, "**archprune** COMMAND [options] [arguments]", app.Description,
		"# COMMANDS\n\n"+list.String()+"Each has a page of its own: **man archprune-save**.\n")
	return pages
}

func manPage(name, usage, synopsis, description, rest string) string {
	return fmt.Sprintf("%% %s 1 \"\" \"archprune %s\" \"archprune\"\n\n# NAME\n\n%s - %s\n\n# SYNOPSIS\n\n%s\n\n# DESCRIPTION\n\n%s\n\n%s\n# EXIT STATUS\n\n%s\n",
		strings.ToUpper(name), version, name, plainMarkdown(usage), synopsis, verbatim(description), rest, verbatim(strings.TrimPrefix(exitHelp, "EXIT STATUS:\n")))
}

func manOptions(c *cli.Command) string {
	var b strings.Builder
	for _, f := range append(c.Flags, &cli.BoolFlag{Name: "help", Aliases: []string{"h"}, Usage: "show the help of this command"}) {
		flag := describeFlag(f)
		fmt.Fprintf(&b, "**%s**%s\n: %s\n\n", strings.TrimSpace(flag.names), plainMarkdown(flag.takes),
			plainMarkdown(strings.ReplaceAll(flag.usage, "\n", ". ")))
	}
	return b.String()
}

// verbatim keeps the lines of a text as they are.
func verbatim(text string) string {
	if text == "" {
		return ""
	}
	return "```\n" + strings.TrimRight(text, "\n") + "\n```"
}

// plainMarkdown keeps what Markdown would take for its own.
func plainMarkdown(text string) string {
	return strings.NewReplacer(`\`, `\\`, "*", `\*`, "_", `\_`, "<", `\<`, "[", `\[`, "`", "\\`").Replace(text)
}
