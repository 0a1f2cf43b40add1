package main

import (
	"errors"
	"slices"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/archive/retention"
	"github.com/archprune/archprune/internal/config"
	"github.com/archprune/archprune/selector"
)

// forgetRule is a policy of retention and the images that it is for.
type forgetRule struct {
	policy retention.Policy
	covers covers
}

// covers returns those of a record's names that a rule is for, and whether it is
// for the record at all.
type covers func(*archive.Record) (names []string, ok bool)

// coveredBy is for what patterns match. An ID that matches stands for all names.
func coveredBy(patterns selector.Patterns) covers {
	return func(r *archive.Record) (names []string, ok bool) {
		if _, ok := patterns.MatchReference(r.ImageID.String()); ok || patterns.Empty() {
			return r.References, true
		}
		for _, ref := range r.References {
			if _, ok := patterns.MatchReference(ref); ok {
				names = append(names, ref)
			}
		}
		return names, len(names) > 0
	}
}

// uncovered is for what none of the rules is for.
func uncovered(rules []forgetRule) covers {
	return func(r *archive.Record) ([]string, bool) {
		names := beyond(r, rules)
		return names, len(names) > 0 || len(r.References) == 0
	}
}

// beyond are the names of a record that none of the rules is for.
func beyond(r *archive.Record, rules []forgetRule) []string {
	names := slices.Clone(r.References)
	for _, rule := range rules {
		covered, _ := rule.covers(r)
		names = slices.DeleteFunc(names, func(name string) bool { return slices.Contains(covered, name) })
	}
	return names
}

// forgetRules are those of the configuration: one for each policy that has
// some, and the general ones for all other images.
func forgetRules(conf config.Config) ([]forgetRule, error) {
	var rules []forgetRule
	for _, p := range conf.Policies {
		policy, err := retentionOf(p.Retention)
		if err != nil {
			return nil, err
		}
		if policy.Empty() {
			continue
		}
		patterns, err := repositoriesOf(p)
		if err != nil {
			return nil, err
		}
		rules = append(rules, forgetRule{policy, coveredBy(patterns)})
	}
	general, err := retentionOf(conf.Retention)
	if err != nil || general.Empty() {
		return rules, err
	}
	return append(rules, forgetRule{general, uncovered(slices.Clone(rules))}), nil
}

// retentionOf reads rules of a configuration.
func retentionOf(s config.Section) (retention.Policy, error) {
	p := retention.Policy{}
	counts := map[string]*int{"keep-last": &p.KeepLast, "keep-hourly": &p.KeepHourly, "keep-daily": &p.KeepDaily,
		"keep-weekly": &p.KeepWeekly, "keep-monthly": &p.KeepMonthly, "keep-yearly": &p.KeepYearly}
	for _, name := range s.Names() {
		value, err := s[name].Values[0], error(nil)
		switch name {
		case "keep-within":
			p.KeepWithin, err = retention.ParseWithin(value)
		case "group-by":
			p.GroupBy, err = retention.ParseGroupBy(value)
		default:
			*counts[name], err = strconv.Atoi(value)
		}
		if err != nil {
			return p, s[name].From.Errorf("%s", strings.TrimPrefix(err.Error(), "--"))
		}
	}
	if _, ok := s["group-by"]; !ok {
		p.GroupBy, _ = retention.ParseGroupBy(defaultGroupBy)
	}
	return p, p.Validate()
}

// rulesFor are the rules that a run of forget goes by: those of its flags, else
// those of the configuration. None are there where images are named.
func (a *app) rulesFor(c *cli.Context, p retention.Policy) ([]forgetRule, error) {
	if p.Empty() && !c.Args().Present() && len(a.rules) > 0 {
		for i := range a.rules {
			a.rules[i].policy.EvenLast = p.EvenLast
		}
		return a.rules, nil
	}
	patterns, err := forgetArguments(c.Args().Slice(), p)
	if err != nil || p.Empty() {
		return nil, err
	}
	return []forgetRule{{p, coveredBy(patterns)}}, nil
}

// forgetByRules decides on the records that some rule is for. What one rule
// keeps stays, and so does what has a name that none of them is for.
func forgetByRules(catalog *archive.Catalog, rules []forgetRule, facts retention.Facts) ([]retention.Verdict, error) {
	var all []retention.Verdict
	at := map[string]int{} // by record
	for _, rule := range rules {
		verdicts, err := forgetByRule(catalog, rule, facts)
		if err != nil {
			return nil, err
		}
		for _, v := range verdicts {
			i, seen := at[v.Record.Name]
			switch {
			case !seen:
				at[v.Record.Name] = len(all)
				all = append(all, v)
			case v.Keep && all[i].Keep:
				all[i].Reasons = append(all[i].Reasons, v.Reasons...)
			case v.Keep:
				all[i] = v
			}
		}
	}
	if len(all) == 0 {
		return nil, errors.New("nothing in the archive matches: see 'archprune list'")
	}
	for _, r := range catalog.Records {
		i, seen := at[r.Name()]
		if other := beyond(r, rules); seen && !all[i].Keep && len(other) > 0 {
			all[i].Keep = true
			all[i].Reasons = []string{"also called " + strings.Join(other, ", ") + ", which no pattern matches"}
		}
	}
	return all, nil
}

// forgetByRule decides on the records that have a name which the rule is for, by
// those names.
func forgetByRule(catalog *archive.Catalog, rule forgetRule, facts retention.Facts) ([]retention.Verdict, error) {
	var records []retention.Record
	for _, r := range catalog.Records {
		names, ok := rule.covers(r)
		if !ok {
			continue
		}
		subject := r.Retention()
		subject.References = names
		records = append(records, subject)
	}
	plan, err := retention.Decide(records, rule.policy, facts)
	return plan.Verdicts, err
}
