package main

import (
	"cmp"
	"context"
	"errors"
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

func (a *app) verifyCommand() *cli.Command {
	return &cli.Command{
		Name:      "verify",
		Usage:     "prove the archive: read every blob back and check it",
		ArgsUsage: "[REFERENCE|ID|PATTERN...]",
		Description: `   Reads each blob once, hashes it, decompresses it, and compares layers and
   configs with what each image's identity rests on. Without arguments all of
   the archive is read. Damage ends with exit status 4, and so does, with
   --trust-key, what is not signed with one of these keys.`,
		Flags:  slices.Concat(readFlags(), []cli.Flag{progressFlag(), jsonFlag()}),
		Action: a.verify,
	}
}

func (a *app) verify(c *cli.Context) error {
	f, err := a.readArchive(c)
	if err != nil {
		return err
	}
	defer f.Close()
	catalog, err := f.Catalog(c.Context)
	if err != nil {
		return err
	}
	records, bad := catalog.Records, catalog.Bad
	if c.Args().Present() {
		targets, err := meant(catalog, c.Args().Slice(), false, time.Time{})
		if err != nil {
			return err
		}
		records, bad = split(catalog, targets)
	}
	progress := a.progress(c)
	defer progress.Close()
	task := progress.Task("verifying", bytesOf(records))
	found, err := check(c.Context, f, records, task.Add)
	task.Done("")
	progress.Close()
	if err != nil {
		return err
	}
	found.badRecords = bad
	return a.reportFindings(c, records, found)
}

// split tells what can be verified from what is refused.
func split(catalog *archive.Catalog, targets []target) (records []*archive.Record, bad []archive.BadRecord) {
	for _, t := range targets {
		if t.refused == nil {
			records = append(records, t.record)
			continue
		}
		i := slices.IndexFunc(catalog.Bad, func(b archive.BadRecord) bool { return b.Record == t.record })
		bad = append(bad, catalog.Bad[i])
	}
	return records, bad
}

// findings are what a verification showed.
type findings struct {
	damaged    map[digest.Digest]*damagedBlob
	unsound    map[*archive.Record]bool // records that damaged blobs belong to
	badRecords []archive.BadRecord      // that can't be read or are not trusted
}

// damagedBlob is a bad blob and who needs it.
type damagedBlob struct {
	Digest digest.Digest `json:"digest"`
	Reason string        `json:"reason"`
	Needed []string      `json:"needed_by"`
}

func check(ctx context.Context, f *archive.Archive, records []*archive.Record, progress func(int64)) (findings, error) {
	found := findings{damaged: map[digest.Digest]*damagedBlob{}, unsound: map[*archive.Record]bool{}}
	for _, r := range records {
		err := f.Check(ctx, r, progress)
		var bad *archive.DamageError
		if !errors.As(err, &bad) {
			if err != nil {
				return found, fmt.Errorf("verifying %s: %w", recordName(r), err)
			}
			continue
		}
		found.unsound[r] = true
		for _, b := range bad.Blobs {
			if found.damaged[b.Digest] == nil {
				found.damaged[b.Digest] = &damagedBlob{Digest: b.Digest, Reason: b.Reason}
			}
			blob := found.damaged[b.Digest]
			if name := neededName(r); !slices.Contains(blob.Needed, name) {
				blob.Needed = append(blob.Needed, name)
			}
		}
	}
	return found, nil
}

func neededName(r *archive.Record) string {
	return fmt.Sprintf("%s (%s)", cmp.Or(strings.Join(r.References, ", "), "<none>"), ui.ShortID(r.ImageID.String()))
}

// bytesOf counts each blob once, since each is read once.
func bytesOf(records []*archive.Record) int64 {
	seen := map[digest.Digest]bool{}
	var bytes int64
	for _, r := range records {
		for _, b := range r.Blobs {
			if !seen[b.Digest] {
				bytes += b.Size
			}
			seen[b.Digest] = true
		}
	}
	return bytes
}

func (a *app) reportFindings(c *cli.Context, records []*archive.Record, found findings) error {
	if c.Bool("json") {
		return a.findingsJSON(records, found)
	}
	if len(records)+len(found.badRecords) == 0 {
		_, err := fmt.Fprintln(a.stdout, "The archive is empty.")
		return err
	}
	width := len("damaged  ")
	if len(found.untrusted()) > 0 {
		width = len("not trusted  ")
	}
	for _, r := range records {
		word := "ok"
		if found.unsound[r] {
			word = "damaged"
		}
		fmt.Fprintf(a.stdout, "%-*s%s\n", width, word, ui.Clean(neededName(r)))
	}
	for _, bad := range found.untrusted() {
		fmt.Fprintf(a.stdout, "%-*s%s\n", width, "not trusted", ui.Clean(neededName(bad.Record)))
	}
	for _, d := range slices.Sorted(maps.Keys(found.damaged)) {
		b := found.damaged[d]
		fmt.Fprintf(a.stdout, "\nblob %s: %s\n  needed by %s\n", d, ui.Clean(b.Reason), ui.Clean(strings.Join(b.Needed, "; ")))
	}
	for _, bad := range found.badRecords {
		fmt.Fprintf(a.stdout, "\nrecord %s: %s\n", ui.Clean(bad.Name), ui.Clean(bad.Err.Error()))
	}
	fmt.Fprintf(a.stdout, "\n%s verified, %s read: %s.\n", plural(len(records)+len(found.badRecords), "archived image"), ui.Size(bytesOf(records)), found)
	return found.err()
}

func (f findings) String() string {
	var parts []string
	untrusted := len(f.untrusted())
	if n := len(f.unsound) + len(f.badRecords) - untrusted; n > 0 {
		parts = append(parts, fmt.Sprintf("%d damaged", n))
	}
	if untrusted > 0 {
		parts = append(parts, fmt.Sprintf("%d not trusted", untrusted))
	}
	return cmp.Or(strings.Join(parts, ", "), "all whole")
}

// untrusted are the bad records that can be read.
func (f findings) untrusted() []archive.BadRecord {
	return slices.DeleteFunc(slices.Clone(f.badRecords), func(b archive.BadRecord) bool { return b.Record == nil })
}

func (f findings) err() error {
	if len(f.damaged)+len(f.badRecords) > 0 {
		return errDamaged
	}
	return nil
}

func (a *app) findingsJSON(records []*archive.Record, found findings) error {
	doc := struct {
		Records    int            `json:"records"`
		Bytes      int64          `json:"bytes"`
		Damaged    []*damagedBlob `json:"damaged_blobs"`
		BadRecords []string       `json:"bad_records"`
		Untrusted  []string       `json:"untrusted_records"`
	}{len(records), bytesOf(records), []*damagedBlob{}, []string{}, []string{}}
	for _, d := range slices.Sorted(maps.Keys(found.damaged)) {
		doc.Damaged = append(doc.Damaged, found.damaged[d])
	}
	for _, bad := range found.badRecords {
		if bad.Record == nil {
			doc.BadRecords = append(doc.BadRecords, bad.Name)
		} else {
			doc.Untrusted = append(doc.Untrusted, bad.Name)
		}
	}
	if err := writeJSON(a.stdout, doc); err != nil {
		return err
	}
	return found.err()
}
