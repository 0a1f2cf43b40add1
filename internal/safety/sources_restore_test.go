package safety

var restoreSources = []source{
	{"restore/restore.go", "restore", []line{
		{"the image that came has the archived ID", "8", `case img.ID != r.result.ID:`, "", "TestNotWhole", ""},
		{"and the archived layers", "8", `case !slices.Equal(img.DiffIDs, r.record.DiffIDs()):`, "", "TestNotWhole", ""},
		{"and is whole", "8", `case img.Incomplete():`, "", "TestNotWhole", ""},
		{"no name is given before that", "8", `if err := r.give(ctx); err != nil {`, "if err := r.give(ctx); err != nil && r.result.ID == \"\" {", "TestNotWhole", ""},
		{"a name of another image is not taken unasked", "8", `if len(taken) > 0 && !r.opts.Replace {`, "", "TestTakenNameIsRefused", ""},
		{"damage of the archive is told as such", "8", `if writeErr := <-wrote; isDamage(writeErr) {`, "if writeErr := <-wrote; false && writeErr != nil {", "TestDamageIsTheReason", ""},
	}},
	{"restore/name.go", "restore", []line{
		{"a name that moved meanwhile is not taken", "8", `case img.ID != taken[name].ID:`, "", "TestNameTakenMeanwhile", ""},
		{"an image that loses a name gets another", "8", `if err := r.saveName(ctx, name, img); err != nil {`, "if err := error(nil); err != nil {", "TestReplaceKeepsANameForTheOther", ""},
		{"a failed restore takes its names back", "8", `errors.Join(err, r.takeBack(ctx, taken))`, "err", "TestFailureOfANameTakesAllBack", ""},
		{"but none that somebody has moved since", "8", `if err == nil && now.ID != r.result.ID {`, "", "TestTakingBackSparesThirdImage", ""},
		{"and removes no image that was there", "8", `!r.found && `, "true && ", "TestTakingBackSparesWhatWasThere", ""},
		{"nor one that somebody has named since", "8", ` && !slices.ContainsFunc(img.References, theirs) {`, " && theirs != nil {", "TestTakingBackSparesWhatOthersNamed", ""},
	}},
}
