package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/urfave/cli/v2"
)

// version is set when a release is built.
var version = "dev"

func (a *app) versionCommand() *cli.Command {
	return &cli.Command{
		Name:  "version",
		Usage: "show the version",
		Action: func(*cli.Context) error {
			_, err := fmt.Fprintf(a.stdout, "archprune %s%s (%s, %s/%s)\n", version, source(), runtime.Version(), runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}

// source is what the Go toolchain noted of the source.
func source() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	noted := map[string]string{}
	for _, s := range info.Settings {
		noted[s.Key] = s.Value
	}
	revision, day := noted["vcs.revision"], noted["vcs.time"]
	if revision == "" {
		return ""
	}
	text := ", commit " + revision[:min(12, len(revision))]
	if day != "" {
		text += " of " + day[:min(len(time.DateOnly), len(day))]
	}
	if noted["vcs.modified"] == "true" {
		text += ", changed"
	}
	return text
}
