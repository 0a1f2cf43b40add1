package main

import (
	"io"
	"log/slog"
	"os"

	"github.com/urfave/cli/v2"

	"github.com/archprune/archprune/internal/ui"
)

const (
	logFormatVar = "ARCHPRUNE_LOG_FORMAT"
	logLevelVar  = "ARCHPRUNE_LOG_LEVEL"
)

func logFormatFlag() cli.Flag {
	return &cli.StringFlag{Name: "log-format", EnvVars: []string{logFormatVar},
		Usage: "write messages as `FORMAT`: plain, or for logs text or json"}
}

func logLevelFlag() cli.Flag {
	return &cli.StringFlag{Name: "log-level", EnvVars: []string{logLevelVar},
		Usage: "leave out messages below `LEVEL`: debug, info, warn or error"}
}

// newLog is for before flags are read: what goes wrong there is written as the
// environment says.
func newLog(stderr io.Writer) *ui.Messages {
	format, err := ui.ParseLogFormat(os.Getenv(logFormatVar))
	if err != nil {
		format = ui.LogPlain
	}
	return ui.NewMessages(stderr, format, slog.LevelInfo)
}

// configureLog obeys the flags about messages. What is quiet tells only what
// goes wrong.
func (a *app) configureLog(c *cli.Context) error {
	format, err := ui.ParseLogFormat(c.String("log-format"))
	if err != nil {
		return usagef("--log-format: %w", err)
	}
	level, err := ui.ParseLogLevel(c.String("log-level"))
	if err != nil {
		return usagef("--log-level: %w", err)
	}
	if c.Bool("quiet") {
		level = max(level, slog.LevelWarn)
	}
	a.log.Configure(format, level)
	return nil
}
