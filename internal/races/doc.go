// Package races runs archprune beside others who are at work on the same
// engine, and proves that nothing goes which was not decided to go.
//
// The others tag, move tags, load, import, build, pull, commit, mount images,
// make, start and remove containers, prune and remove, as fast as the engine
// takes it, while 'archprune save-and-prune' runs again and again. What it asks
// of the engine passes through a wire that notes each call and each look, and
// holds removals up a little, so that the moment between its last look and the
// removal is wide open. The engine's own events, the wire, the reports of the
// runs and the log of the others are then held against each other. At the end
// the archive is verified, and gives all that left with an archive back to an
// empty engine.
//
// Engines have image mounts from 28 on. For older ones the wire puts them into
// the list of containers that archprune is given.
package races
