package docker

import (
	"slices"
	"testing"

	"github.com/opencontainers/go-digest"
)

func TestSplitNames(t *testing.T) {
	id := digest.FromString("x").String()
	tagged, digested := splitNames(
		[]string{"<none>:<none>", "docker.io/library/b:1", "b:1", "a@" + id, "b:2@" + id, "Not A Name"},
		[]string{"<none>@<none>", "a@" + id, "<none>@" + id})
	if want := []string{"Not A Name", "b:1"}; !slices.Equal(tagged, want) {
		t.Errorf("tagged = %q, want %q", tagged, want)
	}
	if want := []string{"a@" + id, "b:2@" + id}; !slices.Equal(digested, want) {
		t.Errorf("digested = %q, want %q", digested, want)
	}
}
