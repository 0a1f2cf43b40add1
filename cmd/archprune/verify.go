package main

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/docker/go-units"
	"github.com/urfave/cli/v2"

	"github.com/archprune/archprune/archive"
)

func (a *app) verifyCommand() *cli.Command {
	return &cli.Command{
		Name:      "verify",
		Usage:     "prove the archive: read every blob back and check it",
		ArgsUsage: "[REFERENCE|ID|PATTERN...]",
		Description: `   Reads each blob once, hashes it, decompresses it, and compares layers and
   configs with what each image's identity rests on. Without arguments all of
   the archive is read. Damage ends with exit status 4, and so does, with
   --trust-key, what is not signed with one of these keys.

   With --repair what is damaged or missing is replaced by a good copy: from the
   archive itself, from another one, or from an image of the engine that has the
   layer. What can't be repaired stays as it is, and is told.

   archprune verify --sample 10%   each night: all of it in ten nights
   archprune verify --repair --from /mnt/second`,
		Flags: slices.Concat([]cli.Flag{sampleFlag()}, repairFlags(), readFlags(), []cli.Flag{signFlag()}, engineFlags(),
			[]cli.Flag{progressFlag(), quietFlag("only tell of what is damaged"), jsonFlag()}),
		Action: a.verify,
	}
}

func sampleFlag() cli.Flag {
	return &cli.StringFlag{Name: "sample", Usage: "read only a part: 10%, 50GB or 2/7\n" +
		"`SAMPLE` is a share of the bytes or a size, of what was proven longest ago; " +
		"or the second of seven parts, always the same. Whether all the rest is there is looked at in any case."}
}

// parseSample reads --sample.
func parseSample(value string) (archive.Sample, error) {
	bad := usagef("--sample %q: want a share such as 10%%, a size such as 50GB, or a part such as 2/7", value)
	if value == "" {
		return archive.Sample{}, nil
	}
	if share, ok := strings.CutSuffix(value, "%"); ok {
		percent, err := strconv.ParseFloat(share, 64)
		if err != nil || !(percent > 0 && percent <= 100) {
			return archive.Sample{}, bad
		}
		return archive.Sample{Percent: percent}, nil
	}
	if part, parts, ok := strings.Cut(value, "/"); ok {
		n, err := strconv.Atoi(part)
		of, err2 := strconv.Atoi(parts)
		if err != nil || err2 != nil || n < 1 || n > of {
			return archive.Sample{}, bad
		}
		return archive.Sample{Part: n, Parts: of}, nil
	}
	bytes, err := units.FromHumanSize(value)
	if err != nil || bytes <= 0 {
		return archive.Sample{}, bad
	}
	return archive.Sample{Bytes: bytes}, nil
}

func (a *app) verify(c *cli.Context) error {
	sample, err := parseSample(c.String("sample"))
	if err != nil {
		return err
	}
	if c.String("from") != "" && !c.Bool("repair") {
		return usagef("--from is for --repair: it names where good copies are")
	}
	var found findings
	f, err := a.openToVerify(c, &found)
	if err != nil {
		return err
	}
	defer a.end(c.Context, f)
	if !c.Args().Present() {
		if found.flaws, found.lost, err = f.Flaws(c.Context); err != nil {
			return err
		}
	}
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
	if err := a.inspect(c, f, records, sample, &found); err != nil {
		return err
	}
	found.catalog, found.badRecords = catalog, bad
	found.judge(c.Context, f, a.proofs(c.Context, f))
	if c.Bool("repair") {
		if err := a.repair(c, f, &found); err != nil {
			return err
		}
	}
	return a.reportFindings(c, found)
}

// openToVerify opens an archive as far as it is to be written to.
func (a *app) openToVerify(c *cli.Context, found *findings) (f *archive.Archive, err error) {
	if !c.Bool("repair") {
		return a.readArchive(c)
	}
	f, found.repaired, err = a.openForRepair(c)
	return f, err
}

// inspect reads records back, and shows how far it is.
func (a *app) inspect(c *cli.Context, f *archive.Archive, records []*archive.Record, sample archive.Sample, found *findings) error {
	inspection, err := f.Inspect(c.Context, records, sample)
	if err != nil {
		return err
	}
	progress := a.progress(c)
	defer progress.Close()
	task := progress.Task("verifying", inspection.Bytes)
	found.inspection, found.sample = inspection, sample
	found.records, err = inspection.Run(c.Context, task.Add)
	task.Done("")
	return err
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
	if anyHidden(targets) {
		bad = append(bad, unreadable(catalog)...)
	}
	return records, bad
}

func unreadable(catalog *archive.Catalog) (bad []archive.BadRecord) {
	for _, b := range catalog.Bad {
		if b.Record == nil {
			bad = append(bad, b)
		}
	}
	return bad
}
