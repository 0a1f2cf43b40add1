package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/urfave/cli/v2"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/archive/retention"
	"github.com/archprune/archprune/internal/journal"
	"github.com/archprune/archprune/selector"
)

func (a *app) forgetCommand() *cli.Command {
	return &cli.Command{
		Name:      "forget",
		Usage:     "take old images out of the archive, by rules or by name",
		ArgsUsage: "[PATTERN|REFERENCE|ID...]",
		Description: `   With rules, images that none of them keeps are forgotten; a PATTERN limits
   that to images all of whose names match. The rules add up, and count images
   of each repository by the time when they were archived. Without a rule,
   images are named: all that a REFERENCE or ID means go, with all their names.

   What is forgotten can be brought back by 'archprune remember' until its grace
   is over; after that the next forget or gc frees its space. Pinned images
   stay, and so does the last archive of what a container of the engine uses.

   archprune forget --keep-last 3 --keep-within 30d
   archprune forget 'demo-api:*' --keep-daily 7 --keep-monthly 6 --dry-run
   archprune forget demo-api:2.3`,
		Flags: slices.Concat(policyFlags(), collectFlags(), []cli.Flag{
			&cli.BoolFlag{Name: "force", Aliases: []string{"f"}, Usage: "do not ask for confirmation"},
			&cli.BoolFlag{Name: "dry-run", Aliases: []string{"n"}, Usage: "only show what would be forgotten"},
			tableNamesFlag()}, readFlags(), engineFlags(), []cli.Flag{quietFlag(onlyIDs), jsonFlag(), journalFlag()}),
		Action: a.forget,
	}
}

const defaultGroupBy = "repository"

func policyFlags() []cli.Flag {
	keep := func(name, what string) cli.Flag {
		return &cli.IntFlag{Name: "keep-" + name, Usage: "keep the newest image of each of the newest `N` " + what}
	}
	return []cli.Flag{
		&cli.IntFlag{Name: "keep-last", Usage: "keep the newest `N` images"},
		keep("hourly", "hours that have one"), keep("daily", "days that have one"), keep("weekly", "weeks that have one"),
		keep("monthly", "months that have one"), keep("yearly", "years that have one"),
		&cli.StringFlag{Name: "keep-within", Usage: "keep what is not older than the newest by more than this `TIME`, such as 30d, 2w or 1y6m"},
		&cli.StringFlag{Name: "group-by", Value: defaultGroupBy, DefaultText: defaultGroupBy,
			Usage: "apply the rules to each `GROUP`: repository, tag, host, several such as repository,host, or none"},
		&cli.BoolFlag{Name: "even-last", Usage: "forget even the last archive of what is in use"},
	}
}

func tableNamesFlag() cli.Flag {
	return &cli.BoolFlag{Name: "all", Aliases: []string{"a"}, Usage: "show every name"}
}

// retentionPolicy reads the flags of policyFlags.
func retentionPolicy(c *cli.Context) (retention.Policy, error) {
	p := retention.Policy{KeepLast: c.Int("keep-last"), KeepHourly: c.Int("keep-hourly"), KeepDaily: c.Int("keep-daily"),
		KeepWeekly: c.Int("keep-weekly"), KeepMonthly: c.Int("keep-monthly"), KeepYearly: c.Int("keep-yearly"),
		EvenLast: c.Bool("even-last")}
	var err error
	if p.GroupBy, err = retention.ParseGroupBy(c.String("group-by")); err != nil {
		return p, err
	}
	if c.IsSet("keep-within") {
		if p.KeepWithin, err = retention.ParseWithin(c.String("keep-within")); err != nil {
			return p, err
		}
	}
	return p, p.Validate()
}

func (a *app) forget(c *cli.Context) error {
	p, err := retentionPolicy(c)
	if err != nil {
		return err
	}
	terms, err := collectTerms(c, a.now())
	if err != nil {
		return err
	}
	rules, err := a.rulesFor(c, p)
	if err != nil {
		return err
	}
	f, err := a.readArchive(c)
	if err != nil {
		return err
	}
	defer f.Close()
	catalog, err := f.Catalog(c.Context)
	if err != nil {
		return err
	}
	a.warnBad(catalog)
	plan, err := a.planForget(c, catalog, p, rules)
	if err != nil {
		return err
	}
	return a.carryOutForget(c, f, plan, terms)
}

// forgetArguments reads what limits a policy, and refuses what could remove
// more than was meant: nothing at all, and patterns without a policy.
func forgetArguments(args []string, p retention.Policy) (selector.Patterns, error) {
	if !p.Empty() {
		patterns, err := selector.ParsePatterns(args)
		if err != nil {
			return patterns, usageError{err}
		}
		return patterns, nil
	}
	if len(args) == 0 {
		return selector.Patterns{}, usagef("without a rule nothing is forgotten: give one, such as --keep-last 3, or the names of images to forget")
	}
	for _, arg := range args {
		if strings.ContainsAny(arg, "*?[]{}!") {
			return selector.Patterns{}, usagef("%q: a pattern needs a rule that says what stays, such as --keep-last 3; without one, name each image", arg)
		}
	}
	return selector.Patterns{}, nil
}

// forgetPlan is what is to become of the records that were asked about.
type forgetPlan struct {
	verdicts []retention.Verdict
	records  map[string]*archive.Record // of the catalog, by name
	remove   []*archive.Record
	frees    int64 // bytes, estimated
	others   []string
}

// planForget decides. With a policy it is about what matches the patterns, or
// about all; without one it is about what the arguments name.
func (a *app) planForget(c *cli.Context, catalog *archive.Catalog, p retention.Policy, rules []forgetRule) (forgetPlan, error) {
	use, err := a.askInUse(c, catalog.Records, p.EvenLast)
	if err != nil {
		return forgetPlan{}, err
	}
	plan := forgetPlan{records: map[string]*archive.Record{}, others: use.others}
	facts := retention.Facts{Now: a.now(), Zone: time.Local, Pinned: map[string]bool{}, Deployed: use.uses}
	for _, r := range catalog.Records {
		plan.records[r.Name()] = r
		_, facts.Pinned[r.Name()] = catalog.Marked(r, archive.Pinned)
	}
	if len(rules) == 0 {
		plan.verdicts, err = forgetNamed(catalog, c.Args().Slice(), p.EvenLast, facts)
	} else {
		plan.verdicts, err = forgetByRules(catalog, rules, facts)
	}
	if err != nil {
		return plan, err
	}
	for _, v := range plan.verdicts {
		if !v.Keep {
			plan.remove = append(plan.remove, plan.records[v.Record.Name])
		}
	}
	plan.frees = onlyIn(plan.remove, catalog)
	if at, err := parsePlace(c.String("archive")); err == nil && at.repeats() {
		plan.frees = 0
		for _, r := range plan.remove {
			plan.frees += r.Sizes.Stored
		}
	}
	return plan, nil
}

// forgetNamed decides on the records that a person named.
func forgetNamed(catalog *archive.Catalog, args []string, evenLast bool, facts retention.Facts) ([]retention.Verdict, error) {
	named := map[string]bool{}
	for _, arg := range args {
		found, err := namedRecords(catalog, arg)
		if err != nil {
			return nil, err
		}
		for _, r := range found {
			if facts.Pinned[r.Name()] {
				return nil, fmt.Errorf("%s is pinned (record %s): 'archprune unpin %[1]s' lets it go", arg, r.Name())
			}
			named[r.Name()] = true
		}
	}
	records := make([]retention.Record, len(catalog.Records))
	for i, r := range catalog.Records {
		records[i] = r.Retention()
	}
	plan, err := retention.DecideNamed(records, named, evenLast, facts)
	return slices.DeleteFunc(plan.Verdicts, func(v retention.Verdict) bool { return !named[v.Record.Name] }), err
}

// onlyIn is how many bytes of blobs no other record of the catalog needs.
func onlyIn(records []*archive.Record, catalog *archive.Catalog) int64 {
	going := map[string]bool{}
	for _, r := range records {
		going[r.Name()] = true
	}
	counted := map[digest.Digest]bool{}
	for _, r := range slices.Concat(catalog.Records, catalog.Forgotten) {
		if !going[r.Name()] {
			for _, b := range r.Blobs {
				counted[b.Digest] = true
			}
		}
	}
	var bytes int64
	for _, r := range records {
		for _, b := range r.Blobs {
			if !counted[b.Digest] {
				bytes += b.Size
			}
			counted[b.Digest] = true
		}
	}
	return bytes
}

func (a *app) carryOutForget(c *cli.Context, f *archive.Archive, plan forgetPlan, terms retention.Terms) error {
	if c.Bool("dry-run") {
		return a.showForgetOnly(c, f, plan, terms)
	}
	if !c.Bool("json") && !c.Bool("quiet") {
		if err := a.showForget(c, plan, terms); err != nil {
			return err
		}
	}
	if len(plan.remove) > 0 && !c.Bool("force") {
		// Where it can't be told what was forgotten before, nothing of it goes.
		before, _ := f.Collectable(c.Context, terms)
		if err := a.sure(c, "this asks before it forgets images", forgetWarning(plan, terms, len(before.Purged))); err != nil {
			return err
		}
	}
	return a.journaled(c, journal.Start{Archive: archiveName(c.String("archive"))}, false, func() error {
		return a.forgetPlanned(c, f, plan, terms)
	})
}

func (a *app) forgetPlanned(c *cli.Context, f *archive.Archive, plan forgetPlan, terms retention.Terms) error {
	if err := f.Prepare(c.Context); err != nil {
		return elsewhere(err)
	}
	done, err := f.Forget(c.Context, plan.remove)
	var collected archive.Collected
	if err == nil {
		collected, err = f.Collect(c.Context, terms)
	}
	for _, r := range done {
		a.jot(a.recordImage(r, "forgotten", nil))
	}
	a.jotCollected(collected)
	if reported := a.reportForget(c, plan, done, collected, terms); reported != nil {
		return reported
	}
	return elsewhere(err)
}

// forgetWarning says what a yes will do, also with images that were forgotten
// before and whose grace is over.
func forgetWarning(plan forgetPlan, terms retention.Terms, before int) string {
	n := plural(len(plan.remove), "archived image")
	switch {
	case terms.Grace == 0 && before == 0:
		return "WARNING! This will remove " + n + " for good."
	case terms.Grace == 0:
		return fmt.Sprintf("WARNING! This will remove %s for good, and %d forgotten before.", n, before)
	}
	text := fmt.Sprintf("WARNING! This will forget %s.\nUntil %s 'archprune remember' can undo that.", n, until(terms))
	if before > 0 {
		text += fmt.Sprintf("\n%s forgotten before will be removed for good.", plural(before, "archived image"))
	}
	return text
}

// until is when the grace of what is forgotten now is over.
func until(terms retention.Terms) string {
	return terms.Now.Add(terms.Grace).UTC().Format(time.RFC3339)
}
