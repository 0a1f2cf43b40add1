package main

import (
	"maps"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/urfave/cli/v2"

	"github.com/archprune/archprune/internal/config"
	"github.com/archprune/archprune/internal/ui"
)

func (a *app) configCommand() *cli.Command {
	return &cli.Command{
		Name:      "config",
		Usage:     "show what is configured, and where",
		ArgsUsage: "show",
		Description: `   Settings come from these places, each stronger than those before it:
     ` + systemConfig + `
     archprune/config.yaml in the user's XDG configuration folder
     the FILE of --config
     the environment
     flags
   What protects adds up. A file in YAML has settings named like flags, rules
   of retention for forget, and policies for single repositories:

     archive: /mnt/rollback
     protect: ['base:*']
     retention: {keep-last: 5, keep-weekly: 8}
     policies:
       releases:
         repositories: [demo-api, 'ghcr.io/team/**']
         keep: ['2.*']        # these tags are archived before they go
         protect: [latest]    # these tags stay
         keep-last: 2         # the newest 2 images of each stay
         until: 24h           # younger images stay
         retention: {keep-last: 10}`,
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "format", Usage: "`FORMAT` is table, table TEMPLATE, json or TEMPLATE"},
			jsonFlag()},
		Action: a.showConfig,
	}
}

// configRow is a setting for people and templates.
type configRow struct{ Setting, Value, From string }

func (a *app) showConfig(c *cli.Context) error {
	if c.Args().Len() != 1 || c.Args().First() != "show" {
		return usagef("config has one use: 'archprune config show'")
	}
	format := c.String("format")
	if err := ui.CheckFormat(format); err != nil {
		return err
	}
	if c.Bool("json") {
		format = "json"
	}
	rows := settingRows(a.config, a.environment())
	if len(rows) == 0 && format == "" {
		a.log.Info("Nothing is configured: every setting has its default.")
		return nil
	}
	if width := terminalWidth(a.stdout); format == "" && width > 0 {
		rows = fitSettings(rows, width)
	}
	return ui.WriteRows(a.stdout, format, configTable, configHeaders, rows)
}

const configTable = "{{.Setting}}\t{{.Value}}\t{{.From}}"

var configHeaders = map[string]string{"Setting": "SETTING", "Value": "VALUE", "From": "FROM"}

// minSetting is what each column of settings gets at least.
const minSetting = 16

// fitSettings makes a table of settings no wider than a terminal, whose own
// wrapping nobody can read.
func fitSettings(rows []any, width int) []any {
	if tableWidth(configTable, configHeaders, rows) <= width {
		return rows
	}
	var longest configWidths
	for _, r := range rows {
		longest = longest.with(r.(configRow))
	}
	w := longest.within(width - 2*gap)
	var fitted []any
	for _, r := range rows {
		row := r.(configRow)
		names, values, froms := wrap(row.Setting, w.setting, partBreaks), wrap(row.Value, w.value, " "), wrap(row.From, w.from, " ")
		for i := range max(len(names), len(values), len(froms)) {
			fitted = append(fitted, configRow{at(names, i), at(values, i), at(froms, i)})
		}
	}
	return fitted
}

// configWidths are the widths of the columns of settings.
type configWidths struct{ setting, value, from int }

func (w configWidths) with(row configRow) configWidths {
	return configWidths{max(w.setting, utf8.RuneCountInString(row.Setting)), max(w.value, utf8.RuneCountInString(row.Value)),
		max(w.from, utf8.RuneCountInString(row.From))}
}

// within shares a width out: names are broken last.
func (w configWidths) within(width int) configWidths {
	setting := min(w.setting, max(minSetting, width-2*minSetting))
	value := min(w.value, max(minSetting, width-setting-w.from))
	return configWidths{setting, value, width - setting - value}
}

// environment are the settings that the environment has, by the names of their
// flags.
func (a *app) environment() map[string]configRow {
	found := map[string]configRow{}
	note := func(name, variable string) {
		if value := os.Getenv(variable); value != "" {
			found[name] = configRow{name, value, variable + " (environment)"}
		}
	}
	for _, c := range a.commands() {
		for _, f := range c.Flags {
			for _, variable := range f.(cli.DocGenerationFlag).GetEnvVars() {
				note(f.Names()[0], variable)
			}
		}
	}
	note("context", "DOCKER_CONTEXT")
	note("host", "DOCKER_HOST")
	return found
}

// settingRows lists what is set, the strongest of each.
func settingRows(conf config.Config, env map[string]configRow) []any {
	rows := map[string]configRow{}
	add := func(section string, s config.Section) {
		for name, setting := range s {
			values, from := setting.Values, setting.From.String()
			for _, weaker := range setting.Weaker {
				values, from = slices.Concat(values, weaker.Values), from+", "+weaker.From.String()
			}
			rows[section+name] = configRow{section + name, settingText(values), from}
		}
	}
	add("", conf.Settings)
	maps.Copy(rows, env)
	add("retention.", conf.Retention)
	for _, p := range conf.Policies {
		add("policies."+p.Name+".", p.Settings)
		add("policies."+p.Name+".retention.", p.Retention)
	}
	sorted := slices.SortedFunc(maps.Values(rows), func(x, y configRow) int {
		return strings.Compare(x.Setting, y.Setting)
	})
	all := make([]any, len(sorted))
	for i, row := range sorted {
		all[i] = row
	}
	return all
}
