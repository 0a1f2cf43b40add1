package retention

// DecideNamed gives verdicts on records that a person named, by the names of
// the records: these go, whatever rules might keep. A pinned one stays, and
// where none would be left of an image in use its newest stays, unless
// evenLast. The verdicts on all other records are that they stay.
func DecideNamed(records []Record, named map[string]bool, evenLast bool, f Facts) (Plan, error) {
	d, err := newDecision(records, Policy{EvenLast: evenLast}, f)
	if err != nil {
		return Plan{}, err
	}
	uses := d.findUses()
	d.keepPinned()
	for i, r := range d.records {
		if !named[r.Name] {
			d.keep(i, "not named")
		}
	}
	for _, u := range uses {
		if !evenLast && !d.keepsAny(u.records) {
			d.keep(u.records[0])
		}
	}
	d.explainUses(uses)
	return d.plan(func(i int) Verdict {
		if d.kept[i] {
			return Verdict{Keep: true, Reasons: d.reasons[i]}
		}
		return Verdict{Reasons: append([]string{"named"}, d.reasons[i]...)}
	}), nil
}

func (d *decision) keepsAny(records []int) bool {
	for _, i := range records {
		if d.kept[i] {
			return true
		}
	}
	return false
}
