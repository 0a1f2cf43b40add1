package retention

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// now is a Monday.
var now = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// id makes a digest that begins with the given hex digits.
func id(hex string) digest.Digest {
	return digest.Digest("sha256:" + hex + strings.Repeat("0", 64-len(hex)))
}

// record makes a record of an image, which is named by hex digits, at a time
// that is written as 2026-11-23 or 2026-11-23 14:05.
func record(name, image, archived string, refs ...string) Record {
	at, err := time.Parse("2006-01-02 15:04", archived)
	if err != nil {
		at, err = time.Parse(time.DateOnly, archived)
	}
	if err != nil {
		panic(err)
	}
	return Record{
		Name: name, Config: id(image), DiffIDs: []digest.Digest{id("f" + image)},
		Archived: at, References: refs, IDs: []digest.Digest{id(image)},
	}
}

// with changes a record.
func with(r Record, change func(*Record)) Record {
	change(&r)
	return r
}

func onHost(host string, r Record) Record {
	r.Host = host
	return r
}

func decide(t testing.TB, records []Record, p Policy, f Facts) Plan {
	t.Helper()
	plan, err := Decide(records, p, f)
	if err != nil {
		t.Fatalf("Decide() = %v", err)
	}
	return plan
}

// lines writes a plan as a person might, one record a line.
func lines(p Plan) []string {
	var out []string
	for _, v := range p.Verdicts {
		action := "forget"
		if v.Keep {
			action = "keep"
		}
		out = append(out, v.Record.Name+" "+action+": "+strings.Join(v.Reasons, "; "))
	}
	return out
}

// kept returns the names of the records that stay, in the order of the plan.
func kept(p Plan) []string {
	var names []string
	for _, v := range p.Verdicts {
		if v.Keep {
			names = append(names, v.Record.Name)
		}
	}
	return names
}

func random(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// world makes n records with a bit of everything: images archived again,
// moving tags, several repositories for one image, platforms that come and go.
func world(r *rand.Rand, n int) []Record {
	records := make([]Record, n)
	for i := range records {
		image := fmt.Sprintf("%04x", r.IntN(1+n/2))
		at := now.Add(-time.Duration(r.IntN(200*24*60)) * time.Minute)
		switch r.IntN(40) {
		case 0:
			at = now.Add(time.Duration(r.IntN(48)) * time.Hour)
		case 1:
			at = now // several at the same time
		}
		rec := Record{
			Name: fmt.Sprintf("r%d", i), Config: id(image), DiffIDs: []digest.Digest{id("f" + image)},
			Archived: at, Host: pick(r, "", "a", "b"), IDs: []digest.Digest{id(image)},
		}
		if r.IntN(4) == 0 {
			rec.IDs = append(rec.IDs, id(pick(r, "e1", "e2")+image))
		}
		if r.IntN(6) == 0 {
			rec.RepoDigests = []string{"demo-api@" + string(id(image))}
		}
		for range pick(r, 0, 1, 1, 1, 2, 3) {
			rec.References = append(rec.References, pick(r, "demo-api", "web", "localhost:5000/base")+":"+pick(r, "latest", "1", "2"))
		}
		slices.Sort(rec.References)
		records[i] = rec
	}
	return records
}

func anyPolicy(r *rand.Rand) Policy {
	few := func() int { return max(0, r.IntN(6)-2) }
	p := Policy{
		KeepLast: few(), KeepHourly: few(), KeepDaily: few(), KeepWeekly: few(), KeepMonthly: few(), KeepYearly: few(),
		GroupBy: pick(r, 0, ByRepository, ByTag, ByHost, ByNone, ByRepository|ByHost, ByTag|ByHost),
	}
	if r.IntN(3) == 0 {
		p.KeepWithin = Span{Months: r.IntN(2), Days: r.IntN(40), Hours: r.IntN(30)}
	}
	if p.Empty() {
		p.KeepLast = 1
	}
	return p
}

func anyFacts(r *rand.Rand, records []Record) Facts {
	zone := time.FixedZone("", (r.IntN(27)-12)*3600)
	f := Facts{Now: now, Zone: zone, Pinned: map[string]bool{}}
	for range r.IntN(4) {
		f.Pinned[pick(r, records...).Name] = true
	}
	for range r.IntN(4) {
		rec := pick(r, records...)
		u := Use{Where: pick(r, "container web on host a", "container web on host b", "")}
		if r.IntN(2) == 0 {
			u.ID = pick(r, rec.IDs...)
		}
		if len(rec.References) > 0 && r.IntN(3) > 0 {
			u.Reference = pick(r, rec.References...)
		}
		f.Deployed = append(f.Deployed, u)
	}
	return f
}
