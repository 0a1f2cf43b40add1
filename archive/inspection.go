package archive

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"runtime"
	"slices"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// Inspection reads records back, or a sample of what they rest on, and finds
// every kind of damage.
type Inspection struct {
	Parts int   // blobs that are read
	Of    int   // of so many
	Files bool  // they are not blobs, but records' own files
	Bytes int64 // that are read

	a       *Archive
	records []*Record
	sample  Sample
	chosen  map[string]bool // names of parts
}

// Finding is what an inspection showed of one record.
type Finding struct {
	Record *Record
	Damage []Damage // none where all that was looked at is good
}

// Inspect plans an inspection.
func (a *Archive) Inspect(ctx context.Context, records []*Record, s Sample) (*Inspection, error) {
	proofs := &Proofs{}
	if !s.All() {
		var err error
		if proofs, err = a.Proofs(ctx); err != nil {
			return nil, err
		}
	}
	_, proofs.own = a.store.(SelfContained)
	parts := proofs.partsOf(records)
	in := &Inspection{Of: len(parts), Files: proofs.own, a: a, records: records, sample: s}
	in.chosen, in.Bytes = s.choose(parts)
	in.Parts = len(in.chosen)
	return in, nil
}

// partsOf lists what records rest on, each part once.
func (p *Proofs) partsOf(records []*Record) []part {
	var all []part
	seen := map[string]bool{}
	add := func(name string, size int64) {
		if seen[name] {
			return
		}
		seen[name] = true
		last := p.parts[name]
		all = append(all, part{name, size, last.At, last.Bad})
	}
	for _, r := range records {
		if p.own {
			add(r.name, r.Sizes.Stored)
			continue
		}
		for _, b := range r.Blobs {
			add(b.Digest.String(), b.Size)
		}
	}
	return all
}

// Run returns a finding for each record, in their order. Progress, which may be
// nil, is told the bytes as they are read. A record that left the archive
// meanwhile, and its blobs with it, is not a damaged one: it has no finding.
func (in *Inspection) Run(ctx context.Context, progress func(int64)) ([]Finding, error) {
	findings, err := in.run(ctx, progress)
	return slices.DeleteFunc(findings, func(f Finding) bool { return len(f.Damage) > 0 && in.a.gone(ctx, f.Record) }), err
}

// gone reports whether the archive has a record no more. A record goes before
// its blobs do.
func (a *Archive) gone(ctx context.Context, r *Record) bool {
	_, _, err := a.store.ReadRecord(ctx, r.name)
	return errors.Is(err, fs.ErrNotExist)
}

func (in *Inspection) run(ctx context.Context, progress func(int64)) ([]Finding, error) {
	_, own := in.a.store.(SelfContained)
	if !in.sample.All() && !own {
		return in.blobs(ctx, progress)
	}
	findings := make([]Finding, len(in.records))
	for i, r := range in.records {
		var err error
		if in.sample.All() || in.chosen[r.name] {
			err = in.a.Check(ctx, r, progress)
		} else {
			err = in.a.structure(ctx, r)
		}
		if findings[i], err = finding(r, err); err != nil {
			return nil, err
		}
	}
	return findings, nil
}

// finding turns the error of a check into what it says of the record, if that is
// what it is about.
func finding(r *Record, err error) (Finding, error) {
	var bad *DamageError
	switch {
	case errors.As(err, &bad):
		return Finding{Record: r, Damage: bad.Blobs}, nil
	case err != nil:
		return Finding{}, fmt.Errorf("verifying record %s: %w", r.name, err)
	}
	return Finding{Record: r}, nil
}

// structure looks whether every blob is there with its size.
func (a *Archive) structure(ctx context.Context, r *Record) error {
	var bad []Damage
	for _, d := range r.Blobs {
		err := a.there(ctx, d)
		var damaged *DamageError
		if errors.As(err, &damaged) {
			bad = append(bad, damaged.Blobs...)
		} else if err != nil {
			return err
		}
	}
	if len(bad) > 0 {
		return damageOf(bad)
	}
	return nil
}

// there looks whether a blob is there with its size. The error is a
// [*DamageError] where it is not.
func (a *Archive) there(ctx context.Context, d ocispec.Descriptor) error {
	info, err := a.store.Stat(ctx, d.Digest)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		content, err := a.Blob(ctx, d) // tells what is there instead
		if err == nil {
			err = content.Close()
		}
		return err
	case err == nil && info.Size != d.Size:
		return damage(d.Digest, fmt.Sprintf("%d bytes where %d were promised", info.Size, d.Size))
	}
	return err
}

// blobs reads a sample of blobs, and looks whether the others are there.
func (in *Inspection) blobs(ctx context.Context, progress func(int64)) ([]Finding, error) {
	needing := map[digest.Digest][]*Record{}
	sizes := map[digest.Digest]ocispec.Descriptor{}
	for _, r := range in.records {
		for _, d := range r.Blobs {
			needing[d.Digest] = append(needing[d.Digest], r)
			sizes[d.Digest] = d
		}
	}
	bad := &badBlobs{reasons: map[digest.Digest]string{}}
	g, reading := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, d := range sizes {
		g.Go(func() error { return bad.add(in.blob(reading, d, needing[d.Digest], progress)) })
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	findings := make([]Finding, len(in.records))
	for i, r := range in.records {
		findings[i] = Finding{Record: r, Damage: bad.of(r)}
		if len(findings[i].Damage) > 0 || !in.chosen[r.ConfigDigest().String()] {
			continue
		}
		var err error
		if findings[i], err = finding(r, in.a.checkIdentity(ctx, r)); err != nil {
			return nil, err
		}
	}
	return findings, nil
}

// blob reads a blob that is part of the sample and compares it with what each
// record says of it.
func (in *Inspection) blob(ctx context.Context, d ocispec.Descriptor, needing []*Record, progress func(int64)) error {
	if !in.chosen[d.Digest.String()] {
		return in.a.there(ctx, d)
	}
	for _, r := range needing {
		if err := in.a.checkBlob(ctx, r, d, progress); err != nil {
			in.a.sawDamage(err)
			return err
		}
		progress = nil // it is read once
	}
	return nil
}

// badBlobs collects what is wrong with blobs.
type badBlobs struct {
	mu      sync.Mutex
	reasons map[digest.Digest]string
}

// add takes damage. What else it is told it returns.
func (b *badBlobs) add(err error) error {
	var bad *DamageError
	if !errors.As(err, &bad) {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, d := range bad.Blobs {
		b.reasons[d.Digest] = d.Reason
	}
	return nil
}

func (b *badBlobs) of(r *Record) []Damage {
	var found []Damage
	for _, d := range r.Blobs {
		if reason, bad := b.reasons[d.Digest]; bad {
			found = append(found, Damage{Digest: d.Digest, Reason: reason})
		}
	}
	return found
}

// GivesBack reports whether a restore has all that it needs of a record, as far
// as this process has read. Other tools may need more.
func (a *Archive) GivesBack(ctx context.Context, r *Record) bool {
	load, err := a.Load(ctx, r, r.Store, nil)
	return err == nil && !slices.ContainsFunc(load.content, func(b tarBlob) bool { return !a.has(ctx, b.stored) })
}
