package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/archprune/archprune/engine/docker"
	"github.com/archprune/archprune/internal/config"
	"github.com/archprune/archprune/internal/journal"
	"github.com/archprune/archprune/internal/metrics"
	"github.com/archprune/archprune/internal/ui"
	"github.com/archprune/archprune/prune"
	"github.com/archprune/archprune/selector"
)

// app is what every command has at hand.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	log            *ui.Messages // to stderr
	now            func() time.Time
	keys           keys

	config       config.Config
	protects     []selector.Patterns         // that it has
	repositories []selector.RepositoryPolicy // likewise
	rules        []forgetRule                // likewise

	args    []string        // as they were typed
	journal *journal.Writer // of what the command changes; nil keeps nothing
	space   *wantedSpace    // of the engine's disk, where something was asked for
	ended   *prune.Report   // what a run came to, once it has
	figures []metrics.Gauge
}

func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{stdin: stdin, stdout: stdout, stderr: stderr, log: newLog(stderr), now: time.Now}
	if len(args) > 0 {
		a.args = args[1:]
	}
	err := swallowed(args, a.commands())
	if err == nil {
		err = a.cli().RunContext(ctx, permute(args, a.commands()))
	}
	return finish(a.log, outcome(ctx, err))
}

// outcome is what a command ended with: what fails while it is being
// interrupted fails for that.
func outcome(ctx context.Context, err error) error {
	if ctx.Err() != nil && err != nil {
		return context.Canceled
	}
	return err
}

// finish says what went wrong and returns the exit status.
func finish(log *ui.Messages, err error) int {
	complain(log, err)
	return exitCode(err)
}

func (a *app) commands() []*cli.Command {
	return a.configured([]*cli.Command{a.planCommand(), a.reportCommand(), a.saveCommand(), a.saveAndPruneCommand(), a.restoreCommand(),
		a.listCommand(), a.showCommand(), a.verifyCommand(), a.exportCommand(), a.importCommand(), a.copyCommand(),
		a.serveCommand(),
		a.forgetCommand(), a.rememberCommand(), a.pinCommand(), a.unpinCommand(), a.gcCommand(), a.logCommand(),
		a.configCommand(), a.completionCommand(), a.manCommand(), a.versionCommand(), a.helpCommand()})
}

func (a *app) cli() *cli.App {
	commands := a.commands()
	for _, c := range commands {
		c.OnUsageError = onUsageError
		c.UseShortOptionHandling = true
		c.CustomHelpTemplate = commandHelp(c)
	}
	return &cli.App{
		Name:  "archprune",
		Usage: "archive Docker images, prove the archive, prune; bring them back",
		Description: `Before an image leaves the engine, archprune stores it in an archive and reads
it back. The archive is a plain OCI image layout, which other tools read too.

   archprune plan --keep 'demo-api:*'             what would happen, and why
   archprune save-and-prune --keep 'demo-api:*'   archive these, then prune as
                                                  docker image prune -a does
   archprune restore demo-api:2.3                 bring a rollback tag back`,
		Commands:                  commands,
		Flags:                     append(generalFlags(), cli.HelpFlag),
		HideHelpCommand:           true,
		HideVersion:               true,
		UseShortOptionHandling:    true,
		Reader:                    a.stdin,
		Writer:                    a.stdout,
		ErrWriter:                 a.stderr,
		OnUsageError:              onUsageError,
		DisableSliceFlagSeparator: true, // a comma belongs to {a,b}
		ExitErrHandler:            func(*cli.Context, error) {},
		CustomAppHelpTemplate:     appHelp(),
		Action: func(c *cli.Context) error {
			if c.Args().Present() {
				return noCommand(c.Args().First())
			}
			return cli.ShowAppHelp(c)
		},
	}
}

// onUsageError names a flag as it is typed and the help that lists the flags.
func onUsageError(c *cli.Context, err error, _ bool) error {
	name := strings.TrimSpace("archprune " + c.Command.Name)
	if c.Command.Name == c.App.Name {
		name = c.App.Name
	}
	msg := strings.TrimSuffix(err.Error(), ": parse error")
	if flag, ok := strings.CutPrefix(msg, "flag provided but not defined: "); ok {
		msg = "unknown flag " + dashed(flag)
		if word := strings.TrimLeft(flag, "-"); (word == "y" || word == "yes") && findFlag(c.Command.Flags, "--force") != nil {
			return usagef("%s: -f (--force) is what does not ask", msg)
		}
	}
	if flag, ok := strings.CutPrefix(msg, "flag needs an argument: "); ok {
		msg = dashed(flag) + " needs a value"
	}
	if what, flag, ok := strings.Cut(msg, " for flag "); ok {
		msg = what + " for " + dashed(flag)
	}
	return usagef("%s: see '%s --help'", msg, name)
}

// dashed writes a flag, which the flag package gives one dash, as people do.
func dashed(flag string) string {
	if name := strings.TrimLeft(flag, "-"); len(name) > 1 {
		return "--" + name
	}
	return flag
}

// generalFlags may also stand before the command, as docker's do.
func generalFlags() []cli.Flag {
	return append(engineFlags(), configFlag(), logFormatFlag(), logLevelFlag())
}

// engineFlags, readFlags and writeFlags stand on each command that needs them, since
// people type them there.
func engineFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "host", Aliases: []string{"H"}, Usage: "engine to connect to, as docker's -H: `HOST` is such as unix:///var/run/docker.sock"},
		&cli.StringFlag{Name: "context", Aliases: []string{"c"}, Usage: "docker `CONTEXT` to use, as docker's -c"},
	}
}

func jsonFlag() cli.Flag {
	return &cli.BoolFlag{Name: "json", Usage: "print JSON for machines"}
}

// runFlags are about how a run tells what it does.
func runFlags() []cli.Flag {
	return []cli.Flag{progressFlag(), quietFlag(onlyIDs), jsonFlag(), metricsFlag(), hookFlag(), journalFlag()}
}

func progressFlag() cli.Flag {
	return &cli.StringFlag{Name: "progress", Value: "auto", Usage: "how to show progress: `MODE` is auto, plain or none",
		Action: func(_ *cli.Context, mode string) error {
			if _, err := ui.ParseMode(mode); err != nil {
				return usagef("--progress: %w", err)
			}
			return nil
		}}
}

func (a *app) engine(c *cli.Context) (*docker.Client, error) {
	if c.String("host") != "" && c.String("context") != "" {
		return nil, usagef("--host with --context: both name an engine; give only one of them")
	}
	return docker.New(docker.Options{Host: c.String("host"), Context: c.String("context"), Waiting: func(endpoint string) {
		a.log.Info("the engine at " + noPassword(endpoint) + " does not answer yet: waiting for it")
	}})
}

func (a *app) progress(c *cli.Context) *ui.Progress {
	return a.log.Progress(ui.Mode(c.String("progress")))
}

func (a *app) warn(format string, args ...any) {
	a.log.Warn(fmt.Sprintf(format, args...))
}
