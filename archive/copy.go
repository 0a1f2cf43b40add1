package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync/atomic"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
)

// maxCopies bounds the blobs of one image that are copied at once.
const maxCopies = 4

// Copier copies records from one archive to another, whatever their storages
// are. It copies one record after the other.
type Copier struct {
	from, to  *Archive
	there     map[string]bool // names of records in the catalog of to
	forgotten map[string]bool // names of records that to has forgotten, and may have no more
}

// CopyOptions are functions that are told how a copy goes; each may be nil.
// They may be called from several goroutines.
type CopyOptions struct {
	Planned  func(int64) // bytes of the blobs that the destination lacks
	Progress func(int64) // bytes as they are copied
}

// Copied is what became of copying one record.
type Copied struct {
	Known bool  // the destination had it, whole
	Sent  int64 // bytes of the blobs that it lacked
}

// NewCopier returns a copier, which must be closed.
func NewCopier(ctx context.Context, from, to *Archive) (*Copier, error) {
	catalog, err := to.Catalog(ctx)
	if err != nil {
		return nil, err
	}
	c := &Copier{from: from, to: to, there: map[string]bool{}, forgotten: map[string]bool{}}
	for _, r := range catalog.Records {
		c.there[r.name] = true
	}
	for name := range catalog.Marks { // which stay for a while when their record is gone
		c.forgotten[name] = catalog.isForgotten(name)
	}
	return c, nil
}

// Close brings what other tools see of the destination up to date. What it
// could not do the destination's own Close tells.
func (c *Copier) Close(ctx context.Context) { c.to.refresh(ctx) }

// Copy copies a record and the blobs that the destination lacks. The record
// keeps its name, its bytes and its signature. Each blob is checked as it
// leaves the one archive; the record's blobs are read back from the other,
// those that were there before too, and one that is damaged there is copied
// again. A record that the destination forgot is in its catalog again. The
// error is a [*DamageError] where blobs are bad.
func (c *Copier) Copy(ctx context.Context, r *Record, opts CopyOptions) (Copied, error) {
	entry, err := c.from.sealed(ctx, r.name)
	if err != nil {
		return Copied{}, fmt.Errorf("reading record %s: %w", r.name, err)
	}
	for _, a := range []*Archive{c.from, c.to} {
		if err := a.trust(entry); err != nil {
			return Copied{}, err
		}
	}
	if c.known(ctx, entry) {
		return Copied{Known: true}, nil
	}
	run := &copying{Copier: c, opts: opts}
	err = run.record(ctx, entry)
	return Copied{Sent: run.sent.Load()}, err
}

// sealed reads a record as it is kept.
func (a *Archive) sealed(ctx context.Context, name string) (Entry, error) {
	data, signature, err := a.store.ReadRecord(ctx, name)
	if err != nil {
		return Entry{}, err
	}
	r, err := decodeRecord(name, data)
	return Entry{Record: r, Data: data, Signature: signature}, err
}

func (a *Archive) trust(e Entry) error {
	if a.opts.Trust == nil {
		return nil
	}
	return a.opts.Trust(e.Data, e.Signature, e.Record.Archived)
}

// known reports whether the destination has the very record and its blobs. What
// was proven there lately is not read again.
func (c *Copier) known(ctx context.Context, e Entry) bool {
	if !c.there[e.Record.name] {
		return false
	}
	have, err := c.to.sealed(ctx, e.Record.name)
	signed := e.Signature == nil || bytes.Equal(have.Signature, e.Signature)
	return err == nil && signed && bytes.Equal(have.Data, e.Data) && c.to.Recheck(ctx, e.Record) == nil
}

// copying is the state of copying one record.
type copying struct {
	*Copier
	opts CopyOptions
	sent atomic.Int64
}

func (c *copying) record(ctx context.Context, e Entry) error {
	if err := c.blobs(ctx, e.Record.Blobs); err != nil {
		return err
	}
	err := c.to.Check(ctx, e.Record, nil)
	if isDamage(err) {
		// Of a blob that was there before. It is known as damaged by now, so that
		// a good one takes its place.
		err = c.blobs(ctx, e.Record.Blobs)
	}
	if err != nil {
		return err
	}
	return c.finish(ctx, e)
}

// finish writes the record, and proves it as a save would.
func (c *copying) finish(ctx context.Context, e Entry) error {
	if err := errors.Join(c.to.store.WriteRecords(ctx, []Entry{e})...); err != nil {
		return err
	}
	if name := e.Record.name; c.forgotten[name] {
		if err := c.to.store.Unmark(ctx, Mark{Kind: Forgotten, Record: name}); err != nil {
			return fmt.Errorf("bringing record %s back: %w", name, err)
		}
	}
	if err := c.to.Check(ctx, e.Record, nil); err != nil {
		return err
	}
	return c.to.Confirm(ctx, e.Record)
}

// blobs copies what the destination lacks. What it has nobody clears away from
// then on.
func (c *copying) blobs(ctx context.Context, all []ocispec.Descriptor) error {
	var missing []ocispec.Descriptor
	var bytes int64
	for _, d := range all {
		if c.to.has(ctx, d) {
			err := c.to.store.Touch(ctx, d.Digest)
			if err == nil {
				continue
			}
			if !errors.Is(err, fs.ErrNotExist) {
				return fmt.Errorf("using blob %s again: %w", d.Digest, err)
			}
		}
		missing, bytes = append(missing, d), bytes+d.Size
	}
	if c.opts.Planned != nil {
		c.opts.Planned(bytes)
	}
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(maxCopies)
	for _, d := range missing {
		g.Go(func() error { return c.blob(ctx, d) })
	}
	return g.Wait()
}

func (c *copying) blob(ctx context.Context, d ocispec.Descriptor) error {
	in, err := c.from.Blob(ctx, d)
	if err != nil {
		return fmt.Errorf("in %s: %w", c.from.Location(), err)
	}
	defer in.Close()
	out, err := c.to.store.Create(ctx)
	if err != nil {
		return err
	}
	defer out.Cancel()
	_, failed, err := copyAhead(&tellingWriter{out, c.opts.Progress}, in)
	if failed {
		return fmt.Errorf("in %s: %w", c.from.Location(), err)
	}
	if err != nil {
		return err
	}
	p, err := readBack(ctx, out)
	if err != nil {
		return err
	}
	if p.digest != d.Digest {
		return damage(d.Digest, "reads back as "+p.digest.String())
	}
	if err := c.to.publish(ctx, out, p); err != nil {
		return err
	}
	c.sent.Add(d.Size)
	return nil
}
