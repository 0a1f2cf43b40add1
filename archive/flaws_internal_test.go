package archive

import (
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// stale is a folder whose index.json is seen as it was, for the first times.
type stale struct {
	*folder
	was   ocispec.Index
	times int
}

func (s *stale) index() ocispec.Index {
	if s.times--; s.times >= 0 {
		return s.was
	}
	return s.folder.index()
}

// TestLostIsLookedForTwice: between index.json and the records others may collect
// what was forgotten.
func TestLostIsLookedForTwice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "archive")
	if _, err := CreateFolder(path, Options{}); err != nil {
		t.Fatal(err)
	}
	was := newIndex()
	was.Manifests = []ocispec.Descriptor{{Digest: digest.FromString("collected")}}
	for times, want := range []int{0, 0, 1} {
		f, err := openFolder(path, Options{})
		if err != nil {
			t.Fatal(err)
		}
		a := New(&stale{f, was, times}, Options{})
		flaws, lost, err := a.Flaws(t.Context())
		if err != nil || len(flaws) > 0 || len(lost) != want {
			t.Errorf("named %d times: flaws %v, lost %v, %v, want %d lost", times, flaws, lost, err, want)
		}
		if err := a.Close(); err != nil {
			t.Error(err)
		}
	}
}
