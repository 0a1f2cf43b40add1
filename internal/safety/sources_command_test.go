package safety

// What stands before a run: nobody looks at its plan at night.
var commandSources = []source{
	{"cmd/archprune/save.go", "cmd/archprune", []line{
		{"a run whose --keep has never matched anything removes nothing", "4", `if err := a.misspelt(c, plan); err != nil {`, "if err := error(nil); err != nil {", "TestScript/save-and-prune_misspelt$", ""},
		{"an archive that is gone is not begun anew", "4", `if err := a.vanished(c); err != nil {`, "if err := error(nil); err != nil {", "TestScript/save-and-prune_unmounted$", ""},
	}},
	{"cmd/archprune/configure.go", "cmd/archprune", []line{
		{"what is empty by mistake is not taken as not given", "4", `cmp.Or(checkEmpty(c), a.noVariable())`, "cmp.Or(nil, a.noVariable())", "TestScript/usage_unset$", ""},
	}},
	{"selector/rules.go", "selector", []line{
		{"what files protect stays", "3, 4", `slices.Concat([]Patterns{s.policy.Protect}, s.policy.Protects)`, "[]Patterns{s.policy.Protect}", "TestRulesThatKeep", ""},
	}},
}
