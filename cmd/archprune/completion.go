package main

import (
	"fmt"

	"github.com/urfave/cli/v2"
)

// completeWord is what the scripts of shells call to learn what may come next.
const completeWord = "__complete"

func (a *app) completionCommand() *cli.Command {
	return &cli.Command{
		Name:      "completion",
		Usage:     "print the script with which a shell completes commands",
		ArgsUsage: "bash|zsh|fish",
		Description: `   Commands, flags, and the names of archived images are completed. Load it with

   bash   source <(archprune completion bash)
   zsh    source <(archprune completion zsh)
   fish   archprune completion fish | source`,
		Action: func(c *cli.Context) error {
			script, ok := completionScripts[c.Args().First()]
			if !ok || c.Args().Len() != 1 {
				return usagef("completion: want the name of a shell: bash, zsh or fish")
			}
			_, err := fmt.Fprint(a.stdout, script)
			return err
		},
	}
}

// shells are those that there is a script for.
func shells() []string { return []string{"bash", "fish", "zsh"} }

// completionScripts call the program with the words typed so far. A colon is
// part of a word here, but bash takes it for the end of one, so the words come
// from the line, and what stands before the last colon is cut off again.
var completionScripts = map[string]string{
	"bash": `_archprune() {
	local line=${COMP_LINE:0:COMP_POINT} words last candidates
	read -ra words <<<"$line"
	[[ $line == *[[:space:]] ]] && words+=("")
	last=${words[${#words[@]}-1]}
	mapfile -t candidates < <(archprune ` + completeWord + ` "${words[@]:1}" 2>/dev/null)
	candidates=("${candidates[@]%%$'\t'*}")
	COMPREPLY=("${candidates[@]#"${last%"${last##*:}"}"}")
}
complete -o default -F _archprune archprune
`,
	"zsh": `#compdef archprune
_archprune() {
	local -a lines
	lines=("${(@f)$(archprune ` + completeWord + ` "${(@)words[2,CURRENT]}" 2>/dev/null)}")
	lines=("${(@)lines%%$'\t'*}")
	if [[ -n $lines ]]; then
		compadd -- "${(@)lines}"
	else
		_files
	fi
}
# As a file in fpath, zsh calls it when something is to be completed.
if [[ $funcstack[1] == _archprune ]]; then
	_archprune "$@"
else
	compdef _archprune archprune
fi
`,
	"fish": `function __archprune
	set -l words (commandline -opc)
	archprune ` + completeWord + ` $words[2..] (commandline -ct) 2>/dev/null
end
complete -c archprune -a '(__archprune)'
`,
}

// values are what flags take, where there is a choice.
var values = map[string][]string{
	"progress":   {"auto", "plain", "none"},
	"route":      {"auto", "save", "push"},
	"log-format": {"plain", "text", "json"},
	"log-level":  {"debug", "info", "warn", "error"},
	"verify":     {"read", "head"},
	"group-by":   {"repository", "tag", "host", "none"},
	"filter":     {"until=", "label=", "label!=", "reference=", "dangling="},
}

// isValueOf returns the flag that the last of words is a value of.
func isValueOf(c *cli.Command, words []string) (flag string, ok bool) {
	if len(words) < 2 {
		return "", false
	}
	before := words[len(words)-2]
	if !isFlag(before) || !takesValue(c.Flags, before) {
		return "", false
	}
	return findFlag(c.Flags, before).Names()[0], true
}
