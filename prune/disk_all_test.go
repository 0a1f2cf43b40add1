//go:build torture

package prune_test

import "math"

// faultsAtMost is how many calls of a run are to fail: each.
const faultsAtMost = math.MaxInt
