package archive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/errgroup"

	"github.com/archprune/archprune/engine"
)

// Catalog is what an archive held at one moment: its records, newest first.
type Catalog struct {
	Records   []*Record
	Forgotten []*Record         // and not purged yet, newest first; none of them pinned
	Bad       []BadRecord       // records that can't be used, by name
	Marks     map[string][]Mark // by the name of the record that they are about
}

// BadRecord is a record that is not what was written, or that is not trusted.
type BadRecord struct {
	Name   string
	Err    error
	Record *Record // where it can be read
}

// Marked returns the mark of that kind on a record, and whether there is one.
func (c *Catalog) Marked(r *Record, kind MarkKind) (Mark, bool) {
	for _, m := range c.Marks[r.name] {
		if m.Kind == kind {
			return m, true
		}
	}
	return Mark{}, false
}

// Catalog reads the archive's records. A record that can't be read is listed
// as bad and does not hide the others.
func (a *Archive) Catalog(ctx context.Context) (*Catalog, error) {
	// Marks first: a record that is forgotten after this is still listed.
	marks, err := a.store.Marks(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the catalog: %w", err)
	}
	names, err := a.store.Records(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the catalog: %w", err)
	}
	records, failed := make([]*Record, len(names)), make([]error, len(names))
	g, reading := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for i, name := range names {
		g.Go(func() error {
			records[i], failed[i] = a.record(reading, name)
			if errors.Is(failed[i], ErrUnavailable) {
				return fmt.Errorf("reading the catalog: %w", failed[i])
			}
			return reading.Err()
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	c := &Catalog{Marks: map[string][]Mark{}}
	for _, m := range marks {
		c.Marks[m.Record] = append(c.Marks[m.Record], m)
	}
	for i, name := range names {
		c.add(name, records[i], failed[i])
	}
	slices.SortFunc(c.Records, newestFirst)
	slices.SortFunc(c.Forgotten, newestFirst)
	slices.SortFunc(c.Bad, func(a, b BadRecord) int { return cmp.Compare(a.Name, b.Name) })
	return c, nil
}

func (c *Catalog) add(name string, r *Record, err error) {
	switch {
	case errors.Is(err, fs.ErrNotExist): // removed meanwhile
	case c.isForgotten(name) && r != nil:
		c.Forgotten = append(c.Forgotten, r)
	case err != nil:
		c.Bad = append(c.Bad, BadRecord{Name: name, Err: err, Record: r})
	default:
		c.Records = append(c.Records, r)
	}
}

func (c *Catalog) isForgotten(record string) bool {
	_, ok := forgotten(c.Marks[record])[record]
	return ok
}

// record reads a record, once in each process: it never changes. The record is
// returned beside the error where it can be read but is not trusted.
func (a *Archive) record(ctx context.Context, name string) (*Record, error) {
	a.mu.Lock()
	r := a.records[name]
	a.mu.Unlock()
	if r != nil {
		return r, nil
	}
	r, err := a.readRecord(ctx, name)
	if err == nil {
		a.mu.Lock()
		a.records[name] = r
		a.mu.Unlock()
	}
	return r, err
}

func (a *Archive) readRecord(ctx context.Context, name string) (*Record, error) {
	data, signature, err := a.store.ReadRecord(ctx, name)
	if err != nil {
		return nil, err
	}
	r, err := decodeRecord(name, data)
	if err != nil {
		return nil, err
	}
	if a.opts.Trust != nil {
		if err := a.opts.Trust(data, signature, r.Archived); err != nil {
			return r, fmt.Errorf("%w: %w", ErrUntrusted, err)
		}
	}
	return r, nil
}

// Signed returns a record as it is kept, and its signature, which is nil where
// it has none.
func (a *Archive) Signed(ctx context.Context, r *Record) (data, signature []byte, err error) {
	return a.store.ReadRecord(ctx, r.name)
}

func newestFirst(a, b *Record) int {
	return cmp.Or(b.Archived.Compare(a.Archived), cmp.Compare(b.name, a.name))
}

// Newest returns, for each reference, its newest record.
func (c *Catalog) Newest() map[string]*Record {
	newest := make(map[string]*Record)
	for _, r := range c.Records {
		for _, ref := range r.References {
			if newest[ref] == nil {
				newest[ref] = r
			}
		}
	}
	return newest
}

// Current reports whether a record is the newest of each of its names: what they
// mean to who restores them.
func (c *Catalog) Current(r *Record) bool {
	newest := c.Newest()
	return !slices.ContainsFunc(r.References, func(ref string) bool { return newest[ref] != r })
}

// ForImage returns the newest record that gives back img with all the names it
// has now, and whether there is one.
func (c *Catalog) ForImage(img engine.Image, store engine.StoreKind) (*Record, bool) {
	for _, r := range c.Records {
		if r.Covers(img, store) {
			return r, true
		}
	}
	return nil, false
}

// Content returns the newest record with the content of img, whatever its
// names, and whether there is one.
func (c *Catalog) Content(img engine.Image, store engine.StoreKind) (*Record, bool) {
	for _, r := range c.Records {
		if r.SameContent(img, store) {
			return r, true
		}
	}
	return nil, false
}

// Retime gives images of a graph-driver engine back when they were last tagged,
// where a push has lent them a name since: that was no work on the image.
func (c *Catalog) Retime(images []engine.Image) {
	type lent struct {
		id   digest.Digest
		when int64
	}
	before := map[lent]time.Time{}
	for _, r := range slices.Concat(c.Records, c.Forgotten) {
		if !r.LentName.IsZero() {
			before[lent{r.ImageID, r.LentName.UnixNano()}] = r.LastTagged
		}
	}
	for i, img := range images {
		if was, ok := before[lent{img.ID, img.LastTagged.UnixNano()}]; ok {
			images[i].LastTagged = was
		}
	}
}

// Find returns the record that a person means by wanted: a reference (its
// newest record, or with a time the newest of then), a digest name, an image
// ID, or the first digits of one. The error is a [*NotFoundError] or says that
// several images fit.
func (c *Catalog) Find(wanted string, at time.Time) (*Record, error) {
	if ref, ok := Familiar(wanted); ok {
		for _, r := range c.Records {
			if r.named(ref) && notAfter(r, at) {
				if err := c.NewerBad(r, ref, at); err != nil {
					return nil, err
				}
				return r, nil
			}
		}
	}
	if r, err := c.byID(wanted, at); r != nil || err != nil {
		return r, err
	}
	if err := c.refused(wanted, at); err != nil {
		return nil, err
	}
	waiting, err := Named(c.Forgotten, wanted)
	return nil, &NotFoundError{Wanted: wanted, Nearest: c.nearest(wanted), Forgotten: err == nil && len(waiting) > 0}
}

// refused tells where the archive has what is wanted, but must not give it.
func (c *Catalog) refused(wanted string, at time.Time) error {
	ref, _ := Familiar(wanted)
	digits, isID := idDigits(wanted)
	for _, r := range c.Known(at) {
		if !r.named(ref) && !(isID && hasPrefix(digits, r.ImageID, r.ConfigDigest())) {
			continue
		}
		if err := c.Refused(r); err != nil {
			return fmt.Errorf("%s: %w", wanted, err)
		}
	}
	return nil
}

// Known returns the records that can be read and that the archive had at a
// time, newest first, trusted or not; the zero time is now.
func (c *Catalog) Known(t time.Time) []*Record {
	known := c.At(t)
	for _, bad := range c.Bad {
		if bad.Record != nil && notAfter(bad.Record, t) {
			known = append(known, bad.Record)
		}
	}
	slices.SortFunc(known, newestFirst)
	return known
}

// all are the records that can be read, trusted or not, forgotten or not.
func (c *Catalog) all() []*Record { return slices.Concat(c.Known(time.Time{}), c.Forgotten) }

// Refused is an error that wraps [ErrUntrusted] where the record must not be
// used.
func (c *Catalog) Refused(r *Record) error {
	for _, bad := range c.Bad {
		if bad.Record == r {
			return fmt.Errorf("record %s is %w", bad.Name, bad.Err)
		}
	}
	return nil
}

// named reports whether a reference with a tag or a digest means the record.
func (r *Record) named(ref string) bool {
	return slices.Contains(r.References, ref) || r.hasDigestName(ref)
}

// NewerBad is an error where a record that can't be used is, or may be, a newer
// one of the same name: an older image must not come back in silence.
func (c *Catalog) NewerBad(r *Record, ref string, at time.Time) error {
	for _, bad := range c.Bad {
		if bad.Record != nil && !bad.Record.named(ref) {
			continue
		}
		stamp, _, _ := strings.Cut(bad.Name, "-")
		archived, err := time.Parse(recordTime, stamp)
		if bad.Record != nil {
			archived, err = bad.Record.Archived, nil
		}
		if err == nil && (archived.Before(r.Archived.Truncate(time.Millisecond)) || !at.IsZero() && archived.After(at)) {
			continue
		}
		older := fmt.Sprintf("to take the one of %s, name its ID (%s)", r.Archived.UTC().Format(time.RFC3339), r.ImageID.Encoded()[:12])
		if bad.Record != nil {
			return fmt.Errorf("%s: its newest record, %s, is %w; %s", ref, bad.Name, bad.Err, older)
		}
		return fmt.Errorf("%w: %s, which may be a newer %s (%w): %s", ErrBadRecord, bad.Name, ref, bad.Err, older)
	}
	return nil
}

func notAfter(r *Record, at time.Time) bool { return at.IsZero() || !r.Archived.After(at) }

// hasDigestName reports whether name is repo@digest, of the image or of its
// manifest, in a repository that the record has a name in.
func (r *Record) hasDigestName(name string) bool {
	if slices.Contains(r.RepoDigests, name) {
		return true
	}
	repo, dgst, ok := strings.Cut(name, "@")
	if !ok {
		return false
	}
	inRepo := func(ref string) bool { return ref == repo || strings.HasPrefix(ref, repo+":") }
	return r.ImageID.String() == dgst && slices.ContainsFunc(r.References, inRepo)
}

// minIDDigits is how many digits of an image ID must be given; docker takes
// one, which is too little for what restore does with it.
const minIDDigits = 4

func (c *Catalog) byID(wanted string, at time.Time) (*Record, error) {
	digits, ok := idDigits(wanted)
	if !ok {
		return nil, nil
	}
	var found *Record
	for _, r := range c.Records {
		if !notAfter(r, at) || !hasPrefix(digits, r.ImageID, r.ConfigDigest()) {
			continue
		}
		if found != nil && found.ImageID != r.ImageID && found.ConfigDigest() != r.ConfigDigest() {
			return nil, fmt.Errorf("%q fits several images, among them %s and %s: give more digits", wanted, found.ImageID, r.ImageID)
		}
		if found == nil {
			found = r
		}
	}
	return found, nil
}

// idDigits returns the digits of what may be the start of an image ID.
func idDigits(wanted string) (string, bool) {
	digits := strings.TrimPrefix(wanted, "sha256:")
	return digits, len(digits) >= minIDDigits && isHex(digits)
}

func isHex(digits string) bool { return strings.Trim(digits, "0123456789abcdef") == "" }

func hasPrefix(digits string, ids ...digest.Digest) bool {
	return slices.ContainsFunc(ids, func(d digest.Digest) bool { return strings.HasPrefix(d.Encoded(), digits) })
}

// Familiar returns a reference in the form that docker shows, with the tag
// latest where none is given, and whether it is one.
func Familiar(s string) (string, bool) {
	named, err := reference.ParseNormalizedNamed(s)
	if err != nil {
		return "", false
	}
	if c, ok := named.(reference.Canonical); ok {
		return reference.FamiliarName(c) + "@" + c.Digest().String(), true
	}
	return familiarString(reference.TagNameOnly(named)), true
}

// At returns the records that the archive had at a time, newest first; the
// zero time is now.
func (c *Catalog) At(t time.Time) []*Record {
	return slices.DeleteFunc(slices.Clone(c.Records), func(r *Record) bool { return !notAfter(r, t) })
}
