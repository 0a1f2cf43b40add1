// Command archprune archives Docker images, proves the archive, and then
// prunes them; and it brings them back.
package main

import (
	"context"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"
)

// softMemory is from where on the runtime looks for free memory more eagerly,
// in bytes: it would rather let the heap grow to twice what is in use.
const softMemory = 176 << 20

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), endings()...)
	defer stop()
	if os.Getenv("GOMEMLIMIT") == "" {
		debug.SetMemoryLimit(softMemory)
	}
	os.Exit(start(ctx, os.Args))
}

// endings are the signals that interrupt a run. A terminal that is gone is one,
// unless whoever began the run had it go on, as nohup does.
func endings() []os.Signal {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	return signals
}

// start runs the command, by itself or as a plugin of the docker command.
func start(ctx context.Context, args []string) int {
	if isPlugin(args[0]) {
		if len(args) == 2 && args[1] == "docker-cli-plugin-metadata" {
			return finish(newLog(os.Stderr), writePluginMetadata(os.Stdout))
		}
		var err error
		if args, err = pluginArgs(args[1:]); err != nil {
			return finish(newLog(os.Stderr), err)
		}
	}
	if len(args) > 1 && args[1] == completeWord {
		complete(ctx, args[2:], os.Stdout)
		return exitDone
	}
	return run(ctx, args, os.Stdin, os.Stdout, os.Stderr)
}
