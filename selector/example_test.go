package selector_test

import (
	"fmt"
	"time"

	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/selector"
)

func Example() {
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	snapshot := engine.Snapshot{
		Images: []engine.Image{
			{ID: "sha256:a1", References: []string{"demo-api:2.3"}},
			{ID: "sha256:b2", References: []string{"demo-api:2.2"}},
			{ID: "sha256:c3", References: []string{"tmp-build:7"}},
			{ID: "sha256:d4"},
		},
		Containers: []engine.Container{{Name: "demo-api", State: "running", ImageID: "sha256:a1"}},
	}
	keep, err := selector.ParsePatterns([]string{"demo-api:*"})
	if err != nil {
		fmt.Println(err)
		return
	}
	plan := selector.Select(snapshot, selector.Policy{Keep: keep}, now)
	for _, d := range plan.Decisions {
		fmt.Println(d.Image.ID, d.Action, "-", d.Reasons[0].Text)
	}
	// Output:
	// sha256:b2 archive+remove - matches --keep demo-api:*
	// sha256:a1 keep - used by container demo-api (running) (wins over --keep demo-api:*)
	// sha256:c3 remove - matches no --keep pattern
	// sha256:d4 remove - dangling
}
