//go:build !torture

package prune_test

// faultsAtMost is about how many calls of a run are to fail.
const faultsAtMost = 8
