package torture

import (
	"fmt"
	"testing"
	"time"

	"github.com/archprune/archprune/engine/enginetest"
)

// Count is what came of faults.
type Count struct {
	Faults     int // that struck
	Images     int // that were looked for, after each fault and after the run that follows it
	Lost       int // that were not found, or lacked a name
	Unreadable int // archives that did not verify
}

// NewCount begins to count. What was counted is told when the test ends.
func NewCount(t testing.TB, e *enginetest.Engine) *Count {
	c, begin := &Count{}, time.Now()
	t.Cleanup(func() {
		Summary(t, e, "%d faults tried, %d images looked for, %d lost, %d archives unreadable, in %v",
			c.Faults, c.Images, c.Lost, c.Unreadable, time.Since(begin).Round(time.Second))
	})
	return c
}

// Summary logs a line that 'make torture' repeats at its end.
func Summary(t testing.TB, e *enginetest.Engine, format string, args ...any) {
	t.Helper()
	t.Logf("summary: %s on %s (%s, %s): %s", t.Name(), e.Kind, e.Version, e.Store, fmt.Sprintf(format, args...))
}
