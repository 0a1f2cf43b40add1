package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	"github.com/urfave/cli/v2"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/internal/ui"
	"github.com/archprune/archprune/prune"
)

func repairFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "repair", Usage: "put good copies in the place of what is damaged"},
		&cli.StringFlag{Name: "from", Usage: "with --repair: look for good copies in this `ARCHIVE` too"},
	}
}

// repaired is what became of something that was damaged.
type repaired struct {
	What   string   `json:"what"`
	How    string   `json:"how,omitempty"` // it was mended; empty where it is still damaged
	Why    string   `json:"why,omitempty"` // it was not
	Needed []string `json:"needed_by,omitempty"`
}

// openForRepair opens an archive, which must exist, for writing. A format file
// that is lost is written anew.
func (a *app) openForRepair(c *cli.Context) (*archive.Archive, []repaired, error) {
	at, err := parsePlace(c.String("archive"))
	if err != nil {
		return nil, nil, err
	}
	var done []repaired
	f, err := a.readArchive(c)
	if errors.Is(err, archive.ErrFormat) {
		mend := archive.MendFolder
		if at.kind == tarPlace {
			mend = archive.MendTarballs
		}
		if err := mend(at.path, archive.Options{}); err != nil {
			return nil, nil, elsewhere(err)
		}
		done = append(done, repaired{What: "format", How: "written anew: the archive has another ID"})
		f, err = a.readArchive(c)
	}
	if err != nil {
		return nil, nil, err
	}
	if err := f.Close(); err != nil {
		return nil, nil, err
	}
	f, err = a.writeArchive(c)
	return f, done, err
}

// repairing is the state of mending one archive.
type repairing struct {
	*app
	c     *cli.Context
	f     *archive.Archive
	from  *archive.Archive // may be nil
	found *findings
	more  []archive.Finding // of records that were mended
	tried []string          // places where good copies were looked for
	done  []repaired

	stillLost bool // images of which there is no record
}

// repair mends what was found, and notes in found what came of it.
func (a *app) repair(c *cli.Context, f *archive.Archive, found *findings) error {
	r := &repairing{app: a, c: c, f: f, found: found}
	if from := c.String("from"); from != "" {
		var err error
		if r.from, err = a.readArchiveAt(c, from); err != nil {
			return fmt.Errorf("--from: %w", err)
		}
		defer r.from.Close()
		if r.from.Location() == f.Location() {
			return usagef("--from %s: that is the archive to repair", from)
		}
	}
	for _, step := range []func(context.Context) error{r.flaws, r.records, r.blobs} {
		if err := step(c.Context); err != nil {
			return elsewhere(err)
		}
	}
	found.repaired = append(found.repaired, r.done...)
	return f.MendFlaws(c.Context, r.stillLost) // the records may be others now
}

func (r *repairing) add(what, how string, err error, needed ...string) {
	done := repaired{What: what, How: how, Needed: needed}
	if err != nil {
		done.How, done.Why = "", oneLine(err)
	}
	r.done = append(r.done, done)
}

func (r *repairing) flaws(ctx context.Context) error {
	if len(r.found.flaws) == 0 {
		return nil
	}
	err := r.f.MendFlaws(ctx, len(r.found.lost) > 0)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	for _, flaw := range r.found.flaws {
		r.add(flaw.What, "written anew", err)
	}
	return nil
}

// records mends records that can't be read, or are gone.
func (r *repairing) records(ctx context.Context) error {
	rep, err := r.f.NewRepair(nil)
	if err != nil {
		return err
	}
	for _, bad := range r.found.badRecords {
		if bad.Record != nil {
			continue // it can be read, and is not trusted
		}
		done := rep.RepairRecord(ctx, bad, r.from)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r.add("record "+bad.Name, done.How, done.Err, r.found.namesOf(bad.Name)...)
	}
	for _, lost := range r.found.goneRecords() {
		if r.from == nil {
			r.stillLost = true
			r.add(lostRecord(lost), "", errors.New("another archive may have it: --from ARCHIVE"))
			continue
		}
		done := rep.FindLost(ctx, lost, r.from)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r.stillLost = r.stillLost || done.Err != nil
		r.add(lostRecord(lost), done.How, done.Err)
	}
	return r.inspectNew(ctx)
}

// inspectNew reads back the records that there were not before.
func (r *repairing) inspectNew(ctx context.Context) error {
	if len(r.done) == 0 {
		return nil
	}
	catalog, err := r.f.Catalog(ctx)
	if err != nil {
		return err
	}
	known := map[string]bool{}
	for _, old := range r.found.catalog.Records {
		known[old.Name()] = true
	}
	fresh := slices.DeleteFunc(slices.Clone(catalog.Records), func(n *archive.Record) bool { return known[n.Name()] })
	inspection, err := r.f.Inspect(ctx, fresh, archive.Sample{})
	if err != nil {
		return err
	}
	r.more, err = inspection.Run(ctx, nil)
	return err
}

// blobs mends blobs, from what costs least to what costs most.
func (r *repairing) blobs(ctx context.Context) error {
	rep, err := r.f.NewRepair(slices.Concat(r.found.records, r.more))
	if n, _ := rep.Left(); err != nil || n == 0 {
		return err
	}
	if err := rep.FromRecords(ctx); err != nil {
		return err
	}
	r.tried = append(r.tried, r.f.Location())
	if err := rep.From(ctx, r.f, nil); err != nil {
		return err
	}
	if r.from != nil {
		if err := r.fromArchive(ctx, rep); err != nil {
			return err
		}
	}
	if err := r.fromEngine(ctx, rep); err != nil {
		return err
	}
	if err := rep.Rerecord(ctx); err != nil {
		return err
	}
	blobs, left, err := rep.Finish(ctx)
	if err != nil {
		return err
	}
	r.judge(blobs, left)
	return nil
}

func (r *repairing) fromArchive(ctx context.Context, rep *archive.Repair) error {
	r.tried = append(r.tried, r.from.Location())
	progress := r.progress(r.c)
	defer progress.Close()
	_, bytes := rep.Left()
	task := progress.Task("repairing from "+r.from.Location(), bytes)
	err := rep.From(ctx, r.from, task.Add)
	task.Done("")
	return err
}

// fromEngine has the engine give images again that have what is bad.
func (r *repairing) fromEngine(ctx context.Context, rep *archive.Repair) error {
	layers, ids := rep.Needed()
	if len(layers)+len(ids) == 0 {
		return nil
	}
	eng, err := r.engine(r.c)
	if err != nil {
		return err
	}
	defer eng.Close()
	snapshot, err := eng.Snapshot(ctx)
	if err != nil {
		r.warn("good copies are not looked for in the engine: %v", err)
		return ctx.Err()
	}
	r.tried = append(r.tried, "the engine")
	images := rep.Useful(snapshot.Images)
	if len(images) == 0 {
		return nil
	}
	progress := r.progress(r.c)
	defer progress.Close()
	opts := prune.Options{Event: newRunProgress(progress).event}
	if err := r.useRoutes(r.c, eng, snapshot, rep, &opts); err != nil {
		return err
	}
	if snapshot.Engine.Store == engine.Classic {
		opts.Way = prune.BySave // a push would count as the last tagging of the image
	}
	failed, notes, err := prune.Export(ctx, eng, rep, snapshot, images, opts)
	progress.Close()
	for _, img := range images {
		if err := failed[img.ID]; err != nil {
			r.warn("getting a good copy from the engine's %s: %v", imageName(img), oneLine(err))
		}
	}
	for _, note := range notes {
		r.warn("%s", note)
	}
	return err
}

// judge tells what became of each blob, and who needs what is still bad.
func (r *repairing) judge(blobs []archive.Repaired, left []archive.Finding) {
	needed := map[digest.Digest][]string{}
	for _, f := range left {
		for _, d := range f.Damage {
			needed[d.Digest] = append(needed[d.Digest], neededName(f.Record))
		}
	}
	for _, b := range blobs {
		bad := needed[b.Digest]
		delete(needed, b.Digest)
		switch {
		case len(bad) == 0:
			r.add("blob "+b.Digest.String(), "from "+b.From, nil)
		case b.Err != nil:
			r.add("blob "+b.Digest.String(), "", b.Err, bad...)
		default:
			r.add("blob "+b.Digest.String(), "", errors.New("no good copy in "+strings.Join(r.tried, ", ")), bad...)
		}
	}
	for _, d := range slices.Sorted(maps.Keys(needed)) {
		r.add("blob "+d.String(), "", errors.New("it is not what records say of it"), needed[d]...)
	}
}

// lostRecord names a record that is gone.
func lostRecord(lost archive.Lost) string {
	if lost.Name == "" {
		return "record of the image with manifest " + ui.ShortID(lost.View.String())
	}
	return "record of " + lost.Name
}
