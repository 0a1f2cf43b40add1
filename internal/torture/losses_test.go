package torture

import (
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

// TestLossesAreFound tells what finds nothing in a real run of losses that it
// must find.
func TestLossesAreFound(t *testing.T) {
	const gone, stays = digest.Digest("sha256:1"), digest.Digest("sha256:2")
	type named = map[digest.Digest][]string
	images, used := named{gone: {"app:1"}}, named{stays: {"used:1", "used:2"}}
	for name, tt := range map[string]struct {
		present  named
		archived map[digest.Digest]bool
		says     string // empty: nothing is lost
	}{
		"in the engine":             {named{gone: {"app:1"}, stays: used[stays]}, nil, ""},
		"in the engine, untagged":   {named{gone: nil, stays: used[stays]}, nil, ""},
		"in the archive":            {used, map[digest.Digest]bool{gone: true}, ""},
		"nowhere":                   {used, nil, "LOST: " + gone.String()},
		"damaged in the archive":    {used, map[digest.Digest]bool{gone: false}, "LOST: " + gone.String()},
		"in use, and lacks a name":  {named{gone: {"app:1"}, stays: {"used:1"}}, nil, stays.String()},
		"in use, archived and gone": {named{gone: {"app:1"}}, map[digest.Digest]bool{stays: true}, stays.String()},
	} {
		t.Run(name, func(t *testing.T) {
			found := strings.Join(losses(images, used, tt.present, tt.archived), "\n")
			if (tt.says == "") != (found == "") || !strings.HasPrefix(found, tt.says) {
				t.Errorf("losses: %q, want what begins with %q", found, tt.says)
			}
		})
	}
}
