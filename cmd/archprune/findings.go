package main

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
	"github.com/urfave/cli/v2"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/internal/ui"
)

// findings are what a verification showed.
type findings struct {
	inspection *archive.Inspection
	sample     archive.Sample
	catalog    *archive.Catalog
	records    []archive.Finding
	badRecords []archive.BadRecord // that can't be read or are not trusted
	flaws      []archive.Flaw
	lost       []archive.Lost // of these some may be bad records
	repaired   []repaired
	brief      bool // no word about what is whole

	images []imageFinding // one for each of records
	blobs  map[digest.Digest]*damagedBlob
}

// imageFinding is what a verification showed of an archived image.
type imageFinding struct {
	Record     string    `json:"record"`
	ID         string    `json:"id"`
	References []string  `json:"references"`
	Damaged    bool      `json:"damaged"`
	Restorable bool      `json:"restorable"`            // as far as is known
	Instead    string    `json:"older_whole,omitempty"` // an older archived image of one of its names
	Proven     time.Time `json:"proven,omitzero"`       // when all of it was last found whole
}

// damagedBlob is a bad blob and who needs it.
type damagedBlob struct {
	Digest digest.Digest `json:"digest"`
	Reason string        `json:"reason"`
	Needed []string      `json:"needed_by"`
}

// judge works out what the findings come to for each image and each blob.
func (f *findings) judge(ctx context.Context, arch *archive.Archive, proofs *archive.Proofs) {
	f.blobs = map[digest.Digest]*damagedBlob{}
	for _, found := range f.records {
		r := found.Record
		img := imageFinding{Record: r.Name(), ID: r.ImageID.String(), References: append([]string{}, r.References...),
			Damaged: len(found.Damage) > 0, Restorable: true}
		img.Proven, _ = proofs.Of(r)
		if img.Damaged {
			img.Proven, img.Restorable = time.Time{}, arch.GivesBack(ctx, r)
		}
		f.images = append(f.images, img)
		for _, b := range found.Damage {
			if f.blobs[b.Digest] == nil {
				f.blobs[b.Digest] = &damagedBlob{Digest: b.Digest, Reason: b.Reason}
			}
			blob := f.blobs[b.Digest]
			if name := neededName(r); !slices.Contains(blob.Needed, name) {
				blob.Needed = append(blob.Needed, name)
			}
		}
	}
	for i := range f.images {
		if !f.images[i].Restorable {
			f.images[i].Instead = f.instead(i)
		}
	}
}

// instead finds an older image, known to be whole, of a name of one that can't
// be restored. Records are the newest first.
func (f *findings) instead(lost int) string {
	for _, older := range f.images[lost+1:] {
		shares := func(ref string) bool { return slices.Contains(older.References, ref) }
		if older.Restorable && !older.Proven.IsZero() && older.ID != f.images[lost].ID && slices.ContainsFunc(f.images[lost].References, shares) {
			return older.ID
		}
	}
	return ""
}

func neededName(r *archive.Record) string {
	return fmt.Sprintf("%s (%s)", cmp.Or(strings.Join(r.References, ", "), "<none>"), ui.ShortID(r.ImageID.String()))
}

func (a *app) reportFindings(c *cli.Context, found findings) error {
	if c.Bool("json") {
		return a.findingsJSON(found)
	}
	if quiet(c) && found.err() == nil {
		return nil
	}
	found.brief = quiet(c)
	text := found.text()
	if len(found.records)+len(text) == 0 {
		_, err := fmt.Fprintln(a.stdout, "The archive is empty.")
		return err
	}
	if len(text) > 0 {
		text = append(text, "")
	}
	for _, line := range slices.Concat(text, found.summary(a.now()), found.repairs()) {
		fmt.Fprintln(a.stdout, ui.Clean(line))
	}
	return found.err()
}

// text tells of images, and then of what is damaged and who needs it.
func (f findings) text() []string {
	lines := f.lines()
	for _, flaw := range f.flaws {
		lines = append(lines, "", flaw.What+": "+flaw.Reason)
	}
	for _, d := range slices.Sorted(maps.Keys(f.blobs)) {
		b := f.blobs[d]
		lines = append(lines, "", fmt.Sprintf("blob %s: %s", d, b.Reason), "  needed by "+strings.Join(b.Needed, "; "))
	}
	for _, bad := range f.badRecords {
		lines = append(lines, "", fmt.Sprintf("record %s: %v", bad.Name, bad.Err))
		if names := f.namesOf(bad.Name); len(names) > 0 {
			lines = append(lines, "  it was "+strings.Join(names, ", ")+", as index.json says")
		}
	}
	for _, lost := range f.goneRecords() {
		lines = append(lines, "", lostRecord(lost)+": missing, but index.json names the image")
	}
	return lines
}

// namesOf are the names of an image whose record can't be read.
func (f findings) namesOf(record string) []string {
	var names []string
	for _, lost := range f.lost {
		if lost.Name != "" && lost.Of(record) {
			names = append(names, lost.Name)
		}
	}
	return names
}

// goneRecords are lost images of which there is no record at all.
func (f findings) goneRecords() []archive.Lost {
	return slices.DeleteFunc(slices.Clone(f.lost), func(lost archive.Lost) bool {
		return slices.ContainsFunc(f.badRecords, func(bad archive.BadRecord) bool { return lost.Of(bad.Name) })
	})
}

// repairs tell what was repaired, and last of all what was not; where nothing was
// tried, how to.
func (f findings) repairs() []string {
	var lines, left, needed []string
	for _, r := range f.repaired {
		if r.How != "" {
			lines = append(lines, fmt.Sprintf("repaired: %s: %s", r.What, r.How))
			continue
		}
		left = append(left, fmt.Sprintf("not repaired: %s: %s", r.What, r.Why))
		if len(r.Needed) > 0 {
			left = append(left, "  needed by "+strings.Join(r.Needed, "; "))
		}
		needed = append(needed, r.Needed...)
	}
	if len(f.repaired) == 0 {
		return f.advice()
	}
	last := fmt.Sprintf("Repaired: %d of %d.", len(lines), len(f.repaired))
	if needed = slices.Compact(slices.Sorted(slices.Values(needed))); len(needed) > 0 {
		last += " Still damaged: " + strings.Join(needed, "; ") + "."
	} else if f.err() == nil {
		last += " What was damaged is whole again."
	}
	return slices.Concat([]string{""}, lines, left, []string{last})
}

// advice says what can be done about damage; what is not trusted is none.
func (f findings) advice() []string {
	if len(f.blobs)+len(f.badRecords)+len(f.flaws)+len(f.lost) == len(f.untrusted()) {
		return nil
	}
	return []string{"'archprune verify --repair' looks for good copies: in the archive, in the engine",
		"and, with --from, in another archive."}
}

// lines say a word about each image; of a sample, about those alone that are
// not as they should be.
func (f findings) lines() []string {
	width := len("damaged  ")
	if len(f.untrusted()) > 0 {
		width = len("not trusted  ")
	}
	line := func(word, text string) string { return fmt.Sprintf("%-*s%s", width, word, text) }
	var lines []string
	for i, found := range f.records {
		img := f.images[i]
		if img.Damaged {
			lines = append(lines, line("damaged", neededName(found.Record)+": "+img.loss()))
		} else if f.sample.All() && !f.brief {
			lines = append(lines, line("ok", neededName(found.Record)))
		}
	}
	for _, bad := range f.untrusted() {
		lines = append(lines, line("not trusted", neededName(bad.Record)))
	}
	return lines
}

// loss says what a damaged image is still good for.
func (img imageFinding) loss() string {
	switch {
	case img.Restorable:
		return "it can be restored, but what other tools read is damaged"
	case img.Instead != "":
		return "it can't be restored; an older one is whole: " + ui.ShortID(img.Instead)
	}
	return "it can't be restored"
}

// summary says what all of it comes to.
func (f findings) summary(now time.Time) []string {
	proven := 0
	for _, img := range f.images {
		if !img.Proven.IsZero() {
			proven++
		}
	}
	n := plural(len(f.records)+len(f.badRecords), "archived image")
	part := "blob"
	if f.inspection.Files {
		part = "file"
	}
	if f.sample.All() {
		return []string{fmt.Sprintf("%s verified, %d proven, %s, %s read: %s.", n, proven, plural(f.inspection.Parts, part), ui.Size(f.inspection.Bytes), f)}
	}
	lines := []string{fmt.Sprintf("A sample of %s verified, %d of %s, %s read: %s.", n, f.inspection.Parts, plural(f.inspection.Of, part), ui.Size(f.inspection.Bytes), f)}
	return append(lines, f.age(now)...)
}

// age says how old the proofs are that samples have brought about.
func (f findings) age(now time.Time) []string {
	var oldest time.Time
	unproven := 0
	for _, img := range f.images {
		switch {
		case img.Proven.IsZero():
			unproven++
		case oldest.IsZero() || img.Proven.Before(oldest):
			oldest = img.Proven
		}
	}
	switch {
	case unproven > 0:
		return []string{fmt.Sprintf("Not proven as a whole yet: %s.", plural(unproven, "archived image"))}
	case oldest.IsZero():
		return nil
	}
	return []string{fmt.Sprintf("All are proven; the oldest proof is of %s.", ui.Age(oldest, now))}
}

func (f findings) String() string {
	var parts []string
	untrusted, damaged := len(f.untrusted()), 0
	for _, img := range f.images {
		if img.Damaged {
			damaged++
		}
	}
	if n := damaged + len(f.badRecords) + len(f.goneRecords()) - untrusted; n > 0 {
		parts = append(parts, fmt.Sprintf("%d damaged", n))
	}
	if untrusted > 0 {
		parts = append(parts, fmt.Sprintf("%d not trusted", untrusted))
	}
	if len(f.flaws) > 0 {
		parts = append(parts, "the archive has flaws")
	}
	return cmp.Or(strings.Join(parts, ", "), "all whole")
}

// untrusted are the bad records that can be read.
func (f findings) untrusted() []archive.BadRecord {
	return slices.DeleteFunc(slices.Clone(f.badRecords), func(b archive.BadRecord) bool { return b.Record == nil })
}

// err is what the command ends with: damage, as far as it was not repaired.
func (f findings) err() error {
	bad := len(f.blobs)+len(f.badRecords)+len(f.flaws)+len(f.lost) > 0
	if len(f.repaired) > 0 {
		bad = len(f.untrusted()) > 0 || slices.ContainsFunc(f.repaired, func(r repaired) bool { return r.How == "" })
	}
	if bad {
		return errDamaged
	}
	return nil
}

func (a *app) findingsJSON(found findings) error {
	doc := struct {
		Records    int            `json:"records"`
		Parts      int            `json:"blobs"` // that were read
		Bytes      int64          `json:"bytes"`
		Images     []imageFinding `json:"images"`
		Damaged    []*damagedBlob `json:"damaged_blobs"`
		BadRecords []string       `json:"bad_records"`
		Untrusted  []string       `json:"untrusted_records"`
		Lost       []string       `json:"missing_records"` // names of images, or their manifests
		Flaws      []string       `json:"flaws"`
		Repaired   []repaired     `json:"repaired,omitempty"`
	}{len(found.records), found.inspection.Parts, found.inspection.Bytes, append([]imageFinding{}, found.images...),
		[]*damagedBlob{}, []string{}, []string{}, []string{}, []string{}, found.repaired}
	for _, lost := range found.goneRecords() {
		doc.Lost = append(doc.Lost, cmp.Or(lost.Name, lost.View.String()))
	}
	for _, flaw := range found.flaws {
		doc.Flaws = append(doc.Flaws, flaw.What+": "+flaw.Reason)
	}
	for _, d := range slices.Sorted(maps.Keys(found.blobs)) {
		doc.Damaged = append(doc.Damaged, found.blobs[d])
	}
	for _, bad := range found.badRecords {
		if bad.Record == nil {
			doc.BadRecords = append(doc.BadRecords, bad.Name)
		} else {
			doc.Untrusted = append(doc.Untrusted, bad.Name)
		}
	}
	if err := ui.WriteJSON(a.stdout, doc); err != nil {
		return err
	}
	return found.err()
}
