// Tables prints what 'make bench' measured as Markdown.
//
//	go run ./internal/bench/tables FOLDER
package main

import (
	"fmt"
	"os"

	"github.com/archprune/archprune/internal/bench/figures"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "tables: %v\n", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 1 {
		return fmt.Errorf("want the folder that BENCH_RESULTS named")
	}
	all, err := figures.ReadAll(args[0])
	if err != nil {
		return err
	}
	if len(all) == 0 {
		return fmt.Errorf("no figures in %s", args[0])
	}
	return figures.Print(os.Stdout, all)
}
