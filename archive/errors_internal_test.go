package archive

import (
	"strings"
	"testing"
)

// Docker takes one digit of an image ID. Who gives too few here is told so.
func TestNotFoundTellsOfTooFewDigits(t *testing.T) {
	for wanted, want := range map[string]bool{"39": true, "sha256:39f": true, "": false, "sha256:": false, "39ff": false, "web": false, "39:1": false} {
		text := (&NotFoundError{Wanted: wanted}).Error()
		if got := strings.Contains(text, "takes 4 digits"); got != want {
			t.Errorf("%q: %s", wanted, text)
		}
	}
}
