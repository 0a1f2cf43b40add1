package main

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/adrg/xdg"
	"github.com/urfave/cli/v2"

	"github.com/archprune/archprune/internal/config"
	"github.com/archprune/archprune/selector"
)

// systemConfig is the file for all users of a host. Nothing but tests changes
// it.
var systemConfig = "/etc/archprune/config.yaml"

func userConfig() string { return filepath.Join(xdg.ConfigHome, "archprune", "config.yaml") }

func configFlag() cli.Flag {
	return &cli.StringFlag{Name: "config", EnvVars: []string{"ARCHPRUNE_CONFIG"},
		Usage: "configuration `FILE`, over those of the system and the user"}
}

// configured has commands read the configuration files before they start.
func (a *app) configured(commands []*cli.Command) []*cli.Command {
	for _, c := range commands {
		if slices.Contains([]string{"help", "version", "completion", "man"}, c.Name) {
			continue
		}
		c.Flags = append(c.Flags, configFlag(), logFormatFlag(), logLevelFlag())
		c.Before = a.configure
	}
	return commands
}

// configure sets the flags that nobody gave as the configuration says.
func (a *app) configure(c *cli.Context) error {
	if err := cmp.Or(checkEmpty(c), a.noVariable()); err != nil {
		return err
	}
	var err error
	a.config, err = config.Read([]string{systemConfig, userConfig()}, c.String("config"))
	if err != nil {
		return err
	}
	if err := checkPatterns(a.config); err != nil {
		return err
	}
	if err := checkFilters(a.config, a.now()); err != nil {
		return err
	}
	if a.protects, err = protects(a.config.Settings["protect"]); err != nil {
		return err
	}
	if a.rules, err = forgetRules(a.config); err != nil {
		return err
	}
	if a.repositories, err = repositoryPolicies(c, a.config, a.now()); err != nil {
		return err
	}
	for _, name := range a.config.Settings.Names() {
		if appliesTo(c, name) {
			if err := setAll(c, name, a.config.Settings[name]); err != nil {
				return err
			}
		}
	}
	return a.configureLog(c)
}

// selects are the settings about what goes from an engine. Some commands have
// flags of that name which mean something else.
var selects = []string{"keep", "keep-nothing", "protect", "keep-last", "filter", "dangling", "min-age"}

// rivals are settings that are void where one of these is given. That dangling
// images alone may go is not among them: with it less goes.
var rivals = map[string][]string{"keep": {"keep-nothing", "dangling"}, "keep-nothing": {"keep", "dangling"},
	"host": {"context"}, "context": {"host"}}

// appliesTo reports whether a command has the setting, and nothing stronger said
// something else.
func appliesTo(c *cli.Context, name string) bool {
	if slices.Contains(selects, name) && !selecting(c) {
		return false
	}
	if slices.ContainsFunc(rivals[name], func(rival string) bool { return given(c, rival) }) {
		return false
	}
	return name != "protect" && hasFlag(c.Command, name) && !given(c, name) // what protects adds up: see protects
}

// protects are the sets of patterns that files protect by. Each stands for itself
// beside that of the flags: neither a flag for one run nor another file must take
// away what is protected always.
func protects(s config.Setting) (sets []selector.Patterns, err error) {
	for _, one := range slices.Concat(s.Weaker, []config.Setting{s}) {
		set, err := selector.ParsePatterns(one.Values)
		if err != nil {
			return nil, one.From.Errorf("protect: %v", err)
		}
		sets = append(sets, set)
	}
	return sets, nil
}

// selecting reports whether a command decides what goes from an engine.
func selecting(c *cli.Context) bool { return hasFlag(c.Command, "keep-nothing") }

func hasFlag(c *cli.Command, name string) bool {
	return slices.ContainsFunc(c.Flags, func(f cli.Flag) bool { return f.Names()[0] == name })
}

// given reports whether a flag or its environment variable was given.
func given(c *cli.Context, name string) bool {
	env := map[string]string{"host": "DOCKER_HOST", "context": "DOCKER_CONTEXT"}[name]
	return c.IsSet(name) || env != "" && os.Getenv(env) != ""
}

func setAll(c *cli.Context, name string, s config.Setting) error {
	f := findFlag(c.Command.Flags, "--"+name)
	for _, value := range s.Values {
		if err := c.Set(name, decimal(f, value)); err != nil {
			return s.From.Errorf("%s: %v", name, err)
		}
	}
	return nil
}

func checkPatterns(conf config.Config) error {
	s := conf.Settings["keep"]
	if _, err := selector.ParsePatterns(s.Values); err != nil {
		return s.From.Errorf("keep: %v", err)
	}
	return nil
}

func checkFilters(conf config.Config, now time.Time) error {
	s := conf.Settings["filter"]
	if _, err := selector.ParseFilters(s.Values, now); err != nil {
		return s.From.Errorf("%s", strings.TrimPrefix(err.Error(), "--"))
	}
	return nil
}

// repositoryPolicies are the policies for what goes from an engine. A flag for
// the same is stronger.
func repositoryPolicies(c *cli.Context, conf config.Config, now time.Time) ([]selector.RepositoryPolicy, error) {
	var all []selector.RepositoryPolicy
	for _, p := range conf.Policies {
		r, err := repositoryPolicy(p, now)
		if err != nil {
			return nil, err
		}
		if selecting(c) && (c.IsSet("keep") || c.IsSet("keep-nothing")) {
			r.Keep = selector.Patterns{}
		}
		if selecting(c) && c.IsSet("keep-last") {
			r.KeepLast = nil
		}
		all = append(all, r)
	}
	return all, nil
}

func repositoryPolicy(p config.Policy, now time.Time) (selector.RepositoryPolicy, error) {
	r := selector.RepositoryPolicy{Name: p.Name}
	var err error
	if r.Repositories, err = repositoriesOf(p); err != nil {
		return r, err
	}
	if r.Keep, err = tagPatterns(p, "keep"); err != nil {
		return r, err
	}
	if r.Protect, err = tagPatterns(p, "protect"); err != nil {
		return r, err
	}
	if s, ok := p.Settings["keep-last"]; ok {
		n, err := strconv.Atoi(s.Values[0])
		if err != nil {
			return r, s.From.Errorf("keep-last: %v", err)
		}
		r.KeepLast = &n
	}
	if s, ok := p.Settings["until"]; ok {
		if r.Until, err = selector.ParseFilters([]string{"until=" + s.Values[0]}, now); err != nil {
			return r, s.From.Errorf("%s", strings.TrimPrefix(err.Error(), "--filter "))
		}
	}
	return r, nil
}

func repositoriesOf(p config.Policy) (selector.Patterns, error) {
	from := p.Settings["repositories"].From
	for _, repo := range p.Repositories() {
		if i := strings.LastIndexByte(repo, ':'); strings.HasPrefix(repo, "!") || strings.Contains(repo, "@") || i > strings.LastIndexByte(repo, '/') {
			return selector.Patterns{}, from.Errorf("repositories: %q: want a repository without a tag, such as demo-api or 'ghcr.io/team/**'", repo)
		}
	}
	patterns, err := selector.ParsePatterns(p.Repositories())
	if err != nil {
		return patterns, from.Errorf("repositories: %v", err)
	}
	return patterns, nil
}

// tagPatterns are a policy's patterns of tags as patterns of names.
func tagPatterns(p config.Policy, name string) (selector.Patterns, error) {
	s := p.Settings[name]
	var texts []string
	for _, tag := range s.Values {
		bare, not := strings.CutPrefix(tag, "!")
		for _, repo := range p.Repositories() {
			text := repo + ":" + bare
			if not {
				text = "!" + text
			}
			texts = append(texts, text)
		}
		if bare == "" || strings.ContainsAny(bare, ":/@") {
			return selector.Patterns{}, s.From.Errorf("%s: %q: want a pattern of tags, such as '2.*'", name, tag)
		}
	}
	patterns, err := selector.ParsePatterns(texts)
	if err != nil {
		return patterns, s.From.Errorf("%s: %v", name, err)
	}
	return patterns, nil
}

// settingText is a setting as a person reads it.
func settingText(values []string) string {
	quoted := make([]string, len(values))
	for i, v := range values {
		if quoted[i] = v; strings.ContainsAny(v, " ,") {
			quoted[i] = fmt.Sprintf("%q", v)
		}
	}
	return strings.Join(quoted, ", ")
}
