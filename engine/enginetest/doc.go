// Package enginetest gives tests a real Docker engine of their own.
//
// The tests of archprune remove images, so they must never meet an engine
// that somebody uses. Each [Engine] is a private dockerd with its own folder,
// its own mount and process namespaces and a socket in that folder; DOCKER_HOST
// and the machine's own engine, if there is one, are ignored and left alone.
// Whatever way the test binary ends, SIGKILL included, the kernel ends the
// engine and its containers with it.
//
// The environment variable ARCHPRUNE_TEST_ENGINE chooses the engine:
//
//	host               the dockerd on PATH; the default
//	trixie-classic     Debian 13's dockerd with its graph driver
//	trixie-containerd  Debian 13's dockerd with the containerd image store
//	testing-classic    the dockerd of Debian's next release, with its graph driver
//	testing-containerd the same with the containerd image store
//	podman             the podman on PATH, by its service of Docker's API
//
// Where podman differs from Docker's own engine a test asserts what it does
// instead, by the name that [Difference] has for it.
//
// scripts/engine.sh gets them. Starting one needs root. A test that needs an
// engine and can't have one fails: a skipped test would prove nothing.
//
// Images are made by [Engine.Load], which streams a generated archive to the
// engine, so nothing is ever pulled and no docker command is needed.
package enginetest
