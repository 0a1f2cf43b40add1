// Package pages has no code of its own: its tests run every command in README.md
// and doc/, chapter by chapter, on a real engine. 'make pages' runs them, alone:
// servers listen on ports that the pages name.
package pages
