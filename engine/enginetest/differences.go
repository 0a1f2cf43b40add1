package enginetest

import "testing"

// Difference is something in which podman, which imitates Docker's API, differs
// from Docker's own engine. A test that meets one asserts what podman does
// instead. doc/engines.md tells of each in these words.
type Difference string

// The differences.
const (
	SeveralNamesStay     Difference = "an image with several names can't be removed safely, and stays"
	ForceTakesContainers Difference = "a forced removal takes the image's containers along, so force is never used"
	NamesHoldBy500       Difference = "a removal by ID of an image that got a second name is refused with status 500, not 409"
	UntaggingRemoves     Difference = "a removal by the last name removes an image that others were built on"
	ParentsGoFirst       Difference = "an untagged build parent goes with the last image built on it, so it must be removed first"
	MountsByNameDoubt    Difference = "it can't be told which image a container mounts by name"
	NoLayersSize         Difference = "the bytes of all layers are not told, so what was freed is unknown"
	NoPush               Difference = "it does not push to archprune: images are saved"
	NoPlainRegistry      Difference = "it pushes to and pulls from a registry by TLS alone, unless told otherwise"
	NamesOfContainers    Difference = "a container is told of by the name that it was created by, whatever that means by now"
	NoTimeOfTags         Difference = "it is not told when an image was tagged"
	NoGzipArchives       Difference = "it loads no docker archive that is compressed with gzip"
	NoSwarm              Difference = "it has no swarm services"
	StagesElsewhere      Difference = "a save is staged in its temporary folder, not with its images"
)

// Differences are all of them.
var Differences = []Difference{
	SeveralNamesStay, ForceTakesContainers, NamesHoldBy500, UntaggingRemoves, ParentsGoFirst, MountsByNameDoubt, NoLayersSize,
	NoPush, NoPlainRegistry, NamesOfContainers, NoTimeOfTags, NoGzipArchives, NoSwarm, StagesElsewhere,
}

// Differs reports whether the engine differs so, and notes it in the test's log.
func (e *Engine) Differs(t testing.TB, d Difference) bool {
	t.Helper()
	if e.flavour.podman {
		t.Logf("difference: %s", d)
	}
	return e.flavour.podman
}

// Except ends a test that makes no sense on an engine that differs so, once
// assert has shown that it does.
func (e *Engine) Except(t testing.TB, d Difference, assert func()) {
	t.Helper()
	if e.Differs(t, d) {
		assert()
		t.Skipf("shown, and the rest is for other engines: %s", d)
	}
}
