// Package pages has no code of its own: its tests run every command in README.md
// and doc/, chapter by chapter, on a real engine.
package pages
