package safety

var archiveSources = []source{
	{"archive/verify.go", "archive", []line{
		{"a receipt comes from Verify alone", "1", `case r.record == nil || r.proven.IsZero():`, "", "TestZeroReceiptProvesNothing", ""},
		{"it is for one image", "1", `case r.image != img.ID || `, "case ", "TestReceiptIsForOneImage", ""},
		{"of one kind of store", "1", ` || r.store != store:`, ":", "TestReceiptIsForOneImage", ""},
		{"with these layers", "1", `case !slices.Equal(r.diffIDs, img.DiffIDs):`, "", "TestReceiptIsForOneImage", ""},
		{"with no further name", "1", `case !subset(img.References, r.names):`, "", "TestReceiptIsForOneImage", ""},
		{"with no further platform", "1", `if m := r.record.lacks(img); m != "" {`, "", "TestPlatformPulledLater", ""},
		{"the record is about the image", "1", `if !r.Covers(img, store) {`, "", "TestReceiptIsForOneImage", ""},
		{"every blob is read back before a receipt", "1", `if err := a.Check(ctx, r, nil); err != nil {`, "", "TestSwappedBlobs", ""},
		{"record and blobs are durable before a receipt", "1", `if err := a.Confirm(ctx, r); err != nil {`, "", "TestForgottenIsNoProof", ""},
		{"a blob that is another since is read again", "1", `now.Version == p.version`, "true", "TestFolderConforms/damage", ""},
		{"every blob decompresses to its layer", "1", `if l.DiffID != p.diffID || l.Size != p.unpacked {`, "", "TestRecordOfOtherLayers", ""},
		{"the image's ID rests on the record's blobs", "1", `err = a.checkIdentity(ctx, r)`, "err = nil", "TestRecordOfOtherLayers", ""},
	}},
	{"archive/identity.go", "archive", []line{
		{"the ID is that of the config", "1", `if got := r.ConfigDigest(); got != r.ImageID {`, "", "TestRecordOfOtherLayers", ""},
		{"the config has these layers", "1", `if !slices.Equal(diffIDs, c.DiffIDs()) {`, "", "TestRecordOfOtherLayers", ""},
		{"a record that is not durable is no proof", "1", `if err := a.store.Confirm(ctx, r); err != nil {`, "", "TestFolderConforms/faults/no_receipt_for_what_is_not_confirmed", ""},
		{"one that was forgotten meanwhile is none", "1, 7", `if m, ok := forgotten(marks)[r.name]; ok {`, "", "TestForgottenIsNoProof", ""},
	}},
	{"archive/record.go", "archive", []line{
		{"a record is what its checksum says", "1", `if digest.FromBytes(data).Encoded()[:16] != parts[2][:16] {`, "", "TestFolderConforms/damage", ""},
		{"and of the image and time that its name says", "1", `if parts[0] != r.stamp() || parts[1] != r.ImageID.Encoded()[:12] {`, "", "TestForgeries", ""},
	}},
	{"archive/commit.go", "prune", []line{
		{"what may lack platforms says so under other names too", "1", `renamed.LentName, renamed.Partial = r.LentName, r.Partial`, "renamed.LentName = r.LentName", "TestPlatformThatAnotherEngineLacked", "trixie-containerd"},
		{"a name means what was archived last under it", "7, 8", `if was := newest[ref]; was != nil && !r.Archived.After(was.Archived) {`, "", "TestClockJumpsBack", ""},
	}},
	{"archive/registry/records.go", "archive/registry", []line{
		{"a wrong name goes without the record that it is a copy of", "8", `case s.misnamed(ctx, r.Name(), m):`, "", "TestRecordUnderAnotherName", ""},
	}},
	{"archive/blobs.go", "archive", []line{
		{"what is read is hashed", "1, 8", `r: digestio.VerifyReader(contextReader{ctx, content}, d.Digest, d.Size)`, "r: contextReader{ctx, content}", "TestFolderConforms/damage", ""},
	}},
	{"internal/digestio/digestio.go", "archive", []line{
		{"and compared", "1, 8", `if got := h.Digest(); got != want {`, "", "TestFolderConforms/damage", ""},
		{"at its end", "1, 8", `if bad := v.sum.Check(v.want, v.size); bad != nil {`, "", "TestFolderConforms/damage", ""},
	}},
	{"archive/savestream.go", "archive", []line{
		{"a save has the end of its tar", "1", `if count.n-before < padding(last)+trailer {`, "", "TestIngestRefusesWhatIsNotWhole", ""},
		{"and nothing behind it", "1", `if rest := bytes.TrimLeft(buf[:n], "\x00"); len(rest) > 0 {`, "", "TestIngestRefusesWhatIsNotWhole", ""},
		{"and is read to there", "1", `return readPastEnd(count)`, "return nil", "TestIngestRefusesWhatIsNotWhole", ""},
	}},
	{"archive/ingest.go", "archive", []line{
		{"a broken stream archives nothing", "1", `if streamErr != nil {`, "", "TestIngestRefusesWhatIsNotWhole", ""},
	}},
	{"archive/ingest_entries.go", "archive", []line{
		{"a known layer has the content of its name", "1", `if file.digest != claimed {`, "", "TestFolderConforms/ingest/other_content_under_the_name_of_a_known_layer", ""},
	}},
	{"archive/ingest_files.go", "archive", []line{
		{"what an image names is in the stream", "1", `return nil, fmt.Errorf("%w: %.200q is missing", ErrIncomplete, name)`, "return &file{}, nil", "TestWhatIsMissingIsTold", ""},
		{"and is what it is called", "1", `if err == nil && file.digest != d {`, "", "TestIngestRefusesWhatIsNotWhole", ""},
	}},
	{"archive/known.go", "archive", []line{
		{"a layer that is used again is not collected", "7", `in.a.has(in.ctx, d) && in.a.store.Touch(in.ctx, d.Digest) == nil`, "in.a.has(in.ctx, d)", "TestReusedLayerIsTouched", ""},
	}},
	{"archive/assemble.go", "archive", []line{
		{"the layers are those that the engine reports", "1", `if err := ownPlatformFirst(r, img); err != nil {`, "", "TestFolderConforms/ingest/other_layers_than_the_engine_reports", ""},
		{"every platform that the engine has came", "1", `if m := r.lacks(img); m != "" {`, "", "TestPlatformPulledLater", ""},
		{"each layer of the config came", "1", `if err != nil || len(diffIDs) != len(names) {`, "", "TestConfigOfMoreLayers", ""},
		{"a compressed layer unpacks to its diff ID", "1", `if p.diffID != diffID {`, "", "TestCompressedLayerIsAnother", ""},
	}},
	{"internal/durable/file.go", "archive", []line{
		{"a file is on the disk before it has its name", "5", `errors.Join(p.file.Sync(), p.file.Close())`, "p.file.Close()", "TestFolderSurvivesLossOfPower", ""},
	}},
	{"internal/durable/tree.go", "prune", []line{
		{"an archive whose place another has taken is none", "1", `err != nil || !os.SameFile(used, now) {`, "err != nil || false && !os.SameFile(used, now) {", "TestArchiveIsReplaced", ""},
	}},
	{"archive/folder_durable.go", "archive", []line{
		{"what another process left is made durable", "1, 5", `if err := l.fsys.Sync(path); err != nil {`, "if err := error(nil); err != nil {", "TestReceiptRestsOnWhatIsDurable", ""},
		{"an fsync that failed is not made good by the next", "1, 5", `if safe.isLost(path, version) {`, "", "TestReceiptRestsOnWhatIsDurable", ""},
	}},
	{"archive/folder_records.go", "archive", []line{
		{"blobs have their names before a record has", "1, 5", `if err := f.fsys.SyncDir(f.join(blobsDir)); err != nil {`, "if err := error(nil); err != nil {", "TestFolderSurvivesLossOfPower", ""},
		{"a record has its name before it counts", "1, 5", `if err := f.fsys.SyncDir(f.join(recordsDir)); err != nil {`, "if err := error(nil); err != nil {", "TestFolderSurvivesLossOfPower", ""},
	}},
}

// sharedSources are about an archive that several processes use.
var sharedSources = []source{
	{"archive/lease.go", "archive", []line{
		{"a lease that was not renewed is lost", "7", `if since < g.term/2 {`, "if since < 100*g.term {", "TestLeaseIsLost", ""},
		{"by the storage's clock too", "7", `case since >= g.term/2:`, "", "TestLeaseIsLost", ""},
		{"a lease that was taken away is lost", "7", `case away(err):`, "case false:", "TestLeaseIsLost", ""},
	}},
	{"archive/shared.go", "archive", []line{
		{"nothing is written without a lease", "7", `if err := lease.held(); err != nil {`, "", "TestLeaseIsLost", ""},
		{"who has none any more is shut out before something goes", "7", `if err := l.clear(s, dir); err != nil {`, "if err := error(nil); err != nil {", "TestCollectorShutsOutTheDead", ""},
	}},
	{"archive/session.go", "archive", []line{
		{"what a live process has is left alone", "7", `err == nil && found.ended(now)`, "err == nil && !found.renewed.IsZero()", "TestLeaseOfAnotherHost", ""},
		{"a lost session's folder is others' business", "7", `if lost != nil {`, "", "TestLeaseIsLost", ""},
		{"what a dead collector moved away is put back", "5, 7", `if err := l.rescue(dir); err != nil `, "if err := error(nil); err != nil ", "TestRemovalIsInterrupted", ""},
	}},
	{"archive/folder_collect.go", "archive", []line{
		{"a blob that was used since stays", "7", `if err != nil || blobInfo(d, before).Used.After(after) {`, "", "TestRemoveBlob", ""},
		{"so does one that a record names by now", "7", `again, err := named(ctx)`, "again, err := false, error(nil)", "TestRemoveBlob", ""},
		{"or that was touched at the last moment", "7", ` || !last.Equal(before.ModTime())`, " || last.IsZero()", "TestBlobChangesHands", ""},
		{"or written anew", "7", `!os.SameFile(before, now) || `, "!os.SameFile(now, now) || ", "TestBlobChangesHands", ""},
	}},
	{"archive/collect.go", "archive", []line{
		{"a clock ahead of the storage's frees nothing", "7", `if t.Now.After(now) {`, "", "TestClockAheadFreesNothing", ""},
		{"what others at work may need stays", "7", `t.Busy = a.busy(others)`, "t.Busy = time.Time{}", "TestCollectorSparesWhatIsInUse", ""},
		{"a record that can't be read may need any blob", "4", `return unreadableRecord(bad.Name, bad.Err)`, "continue", "TestBadRecordStopsCollection", ""},
		{"also one that turns up later", "4", `return false, unreadableRecord(name, err)`, "continue", "TestBadRecordTurnsUp", ""},
		{"blobs go after the records that need them", "5, 7", "if err != nil {\n\t\treturn done, err\n\t}\n\tif s.collector == nil {", "if s.collector == nil {", "TestRecordThatCantGoKeepsItsBlobs", ""},
		{"a record that was remembered meanwhile is put back", "7", `err == nil && !inUse && (ok || !a.Holds(ctx, e.Record))`, "err == nil && !inUse && (ok || true)", "TestRememberedMeanwhile", ""},
	}},
	{"archive/retention/collect.go", "archive/retention", []line{
		{"a blob that a record needs stays", "7", `case needed[b.Digest]:`, "", "TestNeededBlobIsNeverDeleted", ""},
		{"so does a young one", "7", ` && !b.Modified.After(cutoff):`, " && !cutoff.IsZero():", "TestCollect", ""},
		{"and all that is younger than a process at work", "7", `if !t.Busy.IsZero() && !cutoff.Before(t.Busy) {`, "", "TestCollectBesideOthers", ""},
		{"so does a record that was forgotten since", "7", `if !t.Busy.IsZero() && !f.At.Before(t.Busy) {`, "", "TestCollectBesideOthers", ""},
		{"a forgotten record waits", "7", `t.Grace == 0 || over(f.At, t.Grace, t.Now)`, "true", "TestCollect", ""},
	}},
}
