// Package engine holds the values that describe what a Docker engine held at
// one moment. It does no I/O: [github.com/archprune/archprune/engine/docker]
// fills these values in, every other package reads them.
package engine

import (
	"time"

	"github.com/opencontainers/go-digest"
)

// StoreKind tells how an engine keeps its images. It decides what an image ID
// denotes, which forms of removal are safe, and what a restore has to send.
type StoreKind string

const (
	// Classic is a graph-driver store (overlay2 and similar): an image ID is
	// the digest of the image's config.
	Classic StoreKind = "classic"
	// Containerd is the containerd image store: an image ID is the digest of
	// a manifest or of an index.
	Containerd StoreKind = "containerd"
)

// Info describes the engine itself.
type Info struct {
	ID            string    // the engine's own ID, as in docker info
	Host          string    // name of the engine's host
	Product       string    // Docker, or what it calls itself
	Version       string    // engine version, such as 26.1.5
	APIVersion    string    // negotiated API version, such as 1.45
	OS            string    // such as linux
	Architecture  string    // such as x86_64
	StorageDriver string    // such as overlay2
	Store         StoreKind // kind of image store
	RootDir       string    // data-root, on the engine's host
	TakesParents  bool      // a removal may take an untagged build parent along
	SeveralStay   bool      // an image with several names can't be removed safely
}

// Snapshot is what an engine held at one moment. Images, containers and
// services are listed by separate calls, so a snapshot is a basis for a plan
// and never for a removal: that is decided again by a fresh look.
type Snapshot struct {
	Taken      time.Time
	Engine     Info
	Images     []Image // every image, untagged build parents included; sorted by ID
	Containers []Container
	Services   []Service  // on a swarm manager, else empty
	Borrowed   []Borrowed // names that images have for a push alone; they are not among References
}

// Image is one image with everything that refers to it.
type Image struct {
	ID          digest.Digest
	ParentID    digest.Digest     // build parent on a classic store, else empty
	References  []string          // familiar tagged names, such as demo-api:2.3; sorted
	RepoDigests []string          // familiar digest names, such as demo-api@sha256:…; sorted
	DiffIDs     []digest.Digest   // uncompressed layers, lowest first
	LayerSizes  []int64           // bytes each layer takes unpacked, beside DiffIDs; an estimate
	Created     time.Time         // build time as the config has it; may be the epoch
	LastTagged  time.Time         // zero where the engine does not know
	Size        int64             // bytes, as the engine counts
	Labels      map[string]string // labels of the config
	Platform    string            // such as linux/amd64
	Manifests   []Manifest        // containerd store, API 1.47 and later
}

// Dangling reports whether the image has no tag and no digest name.
func (i Image) Dangling() bool { return len(i.References) == 0 && len(i.RepoDigests) == 0 }

// Incomplete reports whether the engine says that it lacks content of every
// runnable manifest of the image, so that it can't give the image back.
func (i Image) Incomplete() bool {
	runnable := 0
	for _, m := range i.Manifests {
		if m.Kind != "image" {
			continue
		}
		if m.Available {
			return false
		}
		runnable++
	}
	return runnable > 0
}

// Manifest is one manifest of an image on a containerd store.
type Manifest struct {
	Digest    digest.Digest
	Kind      string // image, attestation or unknown
	Available bool   // every blob is in the engine's content store
}

// Container is a container in any state.
type Container struct {
	ID      string
	Name    string        // without the leading slash
	State   string        // running, paused, exited, created, dead, …
	Created time.Time     // to the second, or exactly where it mounts images
	ImageID digest.Digest // the image it was created from
	Image   string        // the name it was created by
	Mounts  []ImageMount  // images that it mounts
}

// ImageMount is an image that a container mounts. The engine reports its
// name alone, so the image is what that name means now. Where the name may
// have moved since the container was created, there are two mounts by it: one
// of the image that it means now, and one of an image that can't be told.
type ImageMount struct {
	Name    string
	ImageID digest.Digest // empty where it can't be told which image it is
}

// Service is a swarm service, which uses its image whether or not one of its
// tasks runs on this engine.
type Service struct {
	Name  string
	Image string // name, usually with a tag and a digest
}

// Removed is what an engine said when it removed an image.
type Removed struct {
	Untagged []string // names that are gone
	Deleted  []string // image IDs, and on a classic store the chain IDs of freed layers
}
