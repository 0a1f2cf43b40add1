package archive

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// DefaultLately is how long a save takes a proof for good.
const DefaultLately = 7 * 24 * time.Hour

// maxAhead is how far another host's clock may go ahead of this one's.
const maxAhead = 24 * time.Hour

// reading is what came of reading a part of an archive back: a blob, or a
// record's own file where each has one.
type reading struct {
	At      time.Time `json:"at"`               // by the clock of the host that read
	Written time.Time `json:"written,omitzero"` // what was read, where the storage tells
	Bad     bool      `json:"bad,omitempty"`
}

// readings are those of one host, by the part. They say nothing about what may
// be removed from an engine: that rests on reading alone.
type readings struct {
	Host  string             `json:"host"`
	Parts map[string]reading `json:"parts"`
}

// Proofs tell when the parts of an archive were last read back.
type Proofs struct {
	parts map[string]reading
	own   bool // the parts are records' own files
}

// Of returns when all of a record had last been read back and found whole, and
// whether that was ever so.
func (p *Proofs) Of(r *Record) (time.Time, bool) {
	var oldest time.Time
	for _, part := range p.of(r) {
		seen, ok := p.parts[part]
		if !ok || seen.Bad {
			return time.Time{}, false
		}
		if oldest.IsZero() || seen.At.Before(oldest) {
			oldest = seen.At
		}
	}
	return oldest, true
}

// of lists the parts that a record rests on.
func (p *Proofs) of(r *Record) []string {
	if p.own {
		return []string{r.name}
	}
	parts := make([]string, len(r.Blobs))
	for i, b := range r.Blobs {
		parts[i] = b.Digest.String()
	}
	return parts
}

// Proofs returns what hosts have noted, and what this process has read since it
// began.
func (a *Archive) Proofs(ctx context.Context) (*Proofs, error) {
	all, err := a.readings(ctx)
	if err != nil {
		return nil, err
	}
	_, own := a.store.(SelfContained)
	p := &Proofs{parts: map[string]reading{}, own: own}
	for _, host := range all {
		learn(p.parts, host.Parts)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	maps.Copy(p.parts, a.seen)
	return p, nil
}

// learn takes the latest word on each part; of two at once, the bad one.
func learn(known, parts map[string]reading) {
	for part, seen := range parts {
		if was, ok := known[part]; !ok || seen.At.After(was.At) || seen.At.Equal(was.At) && (seen.Bad || !was.Bad) {
			known[part] = seen
		}
	}
}

// readings reads what hosts have noted. What is damaged is as if it were not
// there: what it told is read again.
func (a *Archive) readings(ctx context.Context) ([]readings, error) {
	docs, err := a.store.Proofs(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading when the archive was proven: %w", err)
	}
	all := make([]readings, 0, len(docs))
	for _, data := range docs {
		var host readings
		if jsonv2.Unmarshal(data, &host) == nil {
			all = append(all, host)
		}
	}
	return all, nil
}

// NoteProofs makes known to others, and to later runs, what this process has
// read of the archive.
func (a *Archive) NoteProofs(ctx context.Context) error {
	a.mu.Lock()
	seen := maps.Clone(a.seen)
	a.mu.Unlock()
	if len(seen) == 0 {
		return nil
	}
	all, err := a.readings(ctx)
	if err != nil {
		return err
	}
	own := readings{Host: hostName()}
	if i := slices.IndexFunc(all, func(r readings) bool { return r.Host == own.Host }); i >= 0 {
		own = all[i]
	}
	if own.Parts == nil {
		own.Parts = map[string]reading{}
	}
	maps.DeleteFunc(own.Parts, func(part string, was reading) bool {
		_, again := seen[part]
		return again && was.At.After(time.Now()) // the clock has jumped back since
	})
	learn(own.Parts, seen) // another process may have read a part later, and noted it before
	if err := a.dropParts(ctx, own.Parts); err != nil {
		return err
	}
	data, err := json.Marshal(own)
	if err == nil {
		err = a.store.NoteProofs(ctx, own.Host, append(data, '\n'))
	}
	if err != nil {
		return fmt.Errorf("noting that the archive was proven: %w", err)
	}
	return nil
}

// dropParts forgets parts that no record has any more.
func (a *Archive) dropParts(ctx context.Context, parts map[string]reading) error {
	catalog, err := a.Catalog(ctx)
	if err != nil {
		return err
	}
	needed := map[string]bool{}
	for _, r := range catalog.all() {
		needed[r.name] = true
		for _, b := range r.Blobs {
			needed[b.Digest.String()] = true
		}
	}
	maps.DeleteFunc(parts, func(part string, _ reading) bool { return !needed[part] })
	return nil
}

// saw notes what reading a part showed.
func (a *Archive) saw(part string, written time.Time, bad bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.seen[part] = reading{At: time.Now().UTC().Truncate(time.Millisecond), Written: written.UTC(), Bad: bad}
}

// sawBlob is saw for a blob, which is a part where records share blobs.
func (a *Archive) sawBlob(d digest.Digest, p *proof) {
	if _, own := a.store.(SelfContained); own || p.unread || p.err != nil && !isDamage(p.err) {
		return
	}
	a.saw(d.String(), p.written, p.err != nil)
}

// sawDamage notes blobs that are bad, or not what a record says of them.
func (a *Archive) sawDamage(err error) {
	var bad *DamageError
	if _, own := a.store.(SelfContained); own || !errors.As(err, &bad) {
		return
	}
	for _, b := range bad.Blobs {
		a.saw(b.Digest.String(), time.Time{}, true)
	}
}

// learnProofs reads what was noted, once in each process.
func (a *Archive) learnProofs(ctx context.Context) error {
	a.mu.Lock()
	known := a.noted != nil
	a.mu.Unlock()
	if known {
		return nil
	}
	p, err := a.Proofs(ctx)
	if err != nil {
		return err
	}
	a.mu.Lock()
	a.noted = p.parts
	a.mu.Unlock()
	return nil
}

// lately reports whether a part need not be read again: it was found whole
// within [Options].Lately, and has not been written to since.
func (a *Archive) lately(part string, written time.Time) bool {
	a.mu.Lock()
	seen, ok := a.seen[part]
	if !ok {
		seen, ok = a.noted[part]
	}
	a.mu.Unlock()
	age := time.Since(seen.At)
	return ok && !seen.Bad && age < cmp.Or(a.opts.Lately, DefaultLately) && age > -maxAhead && seen.Written.Equal(written)
}

// Recheck is Check, but for parts that were proven lately, by whatever host, and
// have not been written to since. It is for what nothing else rests on: no image
// may leave an engine because of it.
func (a *Archive) Recheck(ctx context.Context, r *Record) error {
	if err := a.learnProofs(ctx); err != nil {
		return err
	}
	if own, ok := a.store.(SelfContained); ok {
		if at, ok := own.Written(ctx, r.name); ok && a.lately(r.name, at) && a.Holds(ctx, r) {
			return nil
		}
		return a.Check(ctx, r, nil)
	}
	return a.check(ctx, r, nil, func(d ocispec.Descriptor) bool {
		info, err := a.store.Stat(ctx, d.Digest)
		return err == nil && info.Size == d.Size && a.lately(d.Digest.String(), info.Written)
	})
}
