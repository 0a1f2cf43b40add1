// Package races runs archprune beside others who are at work on the same
// engine, and proves that nothing goes which was not decided to go.
//
// The others tag, move tags, load, import, build, pull, commit, make, start and
// remove containers, prune and remove, as fast as the engine takes it, while
// 'archprune save-and-prune' runs again and again. What it asks of the engine
// passes through a wire that notes each call and holds removals up a little, so
// that the moment between its last look and the removal is wide open. The
// engine's own events, the wire, the reports of the runs and the log of the
// others are then held against each other.
//
// Image mounts are not among it: engines have them from 28 on.
package races
