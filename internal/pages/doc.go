// Package pages has no code of its own: its tests run every command in README.md
// and doc/, chapter by chapter, on a real engine. 'make pages' runs them. They
// have a network of their own, and their engine waits for no disk, so that
// nothing else on the machine is in their way.
package pages
