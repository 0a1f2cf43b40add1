package retention_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/archprune/archprune/archive/retention"
)

func ExampleDecide() {
	within, err := retention.ParseWithin("1w")
	if err != nil {
		fmt.Println(err)
		return
	}
	day := func(d int) time.Time { return time.Date(2026, 11, d, 9, 0, 0, 0, time.UTC) }
	records := []retention.Record{
		{Name: "a", Config: "sha256:a1", Archived: day(2), References: []string{"demo-api:2.2"}},
		{Name: "b", Config: "sha256:b2", Archived: day(9), References: []string{"demo-api:2.3"}},
		{Name: "c", Config: "sha256:c3", Archived: day(16), References: []string{"demo-api:2.4"}},
		{Name: "d", Config: "sha256:d4", Archived: day(23), References: []string{"demo-api:2.5"}},
	}
	plan, err := retention.Decide(records, retention.Policy{KeepLast: 1, KeepWithin: within}, retention.Facts{
		Now:      day(23),
		Deployed: []retention.Use{{Reference: "demo-api:2.3", Where: "container web (running) on host a"}},
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, v := range plan.Verdicts {
		fmt.Println(v.Record.Name, v.Keep, strings.Join(v.Reasons, "; "))
	}
	// Output:
	// d true the newest of demo-api; within 1 week of the newest
	// c true within 1 week of the newest
	// b true the last archive of demo-api:2.3, which is in use by container web (running) on host a
	// a false older than what the policy keeps
}
