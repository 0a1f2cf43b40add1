package archive

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/internal/digestio"
)

// Receipt is the proof that an image can be given back. Only [Archive.Verify]
// makes one that proves anything: the record is durable, every blob that it
// names was read back from the archive and hashed to its digest, every layer
// decompressed to the diff ID that the engine reports, and the config is the
// one that the engine's image ID rests on.
type Receipt struct {
	image   digest.Digest
	store   engine.StoreKind
	diffIDs []digest.Digest
	names   []string
	record  *Record
	proven  time.Time
}

// Proves returns nil where the receipt is for exactly this image with, at most,
// these names; otherwise an error that says what differs.
func (r Receipt) Proves(img engine.Image, store engine.StoreKind) error {
	switch {
	case r.record == nil || r.proven.IsZero():
		return errors.New("there is no receipt")
	case r.image != img.ID || r.store != store:
		return fmt.Errorf("the receipt is for image %s", r.image)
	case !slices.Equal(r.diffIDs, img.DiffIDs):
		return errors.New("the receipt is for other layers")
	case !subset(img.References, r.names):
		return fmt.Errorf("the receipt is for the names %v", r.names)
	}
	if m := r.record.lacks(img); m != "" {
		return fmt.Errorf("the engine has manifest %s by now, which is not archived", m)
	}
	return nil
}

// Record is the name of the record that the receipt is about.
func (r Receipt) Record() string {
	if r.record == nil {
		return ""
	}
	return r.record.name
}

// proof is what reading a blob back from the archive showed. Its fields may be
// read once done is closed.
type proof struct {
	done     chan struct{}
	err      error         // a *DamageError where the blob is bad
	digest   digest.Digest // of the blob
	size     int64         // bytes of the blob
	diffID   digest.Digest // of the decompressed content
	unpacked int64         // bytes, decompressed
	unread   bool          // presence and size are all that was looked at
	version  string        // of the blob that was read, where the storage tells
	written  time.Time     // likewise
}

func newProof() *proof { return &proof{done: make(chan struct{})} }

// prove reads a blob back from the archive, hashes it, decompresses it and
// hashes that. Each blob is read once for each process, whoever asks, and again
// if its file is another since: a run may take hours, and other hosts remove
// and write blobs meanwhile.
func (a *Archive) prove(ctx context.Context, d ocispec.Descriptor, progress func(int64)) *proof {
	p, known := a.proof(d.Digest)
	for known {
		<-p.done
		if p.err != nil || a.current(ctx, d, p) {
			return p
		}
		a.outdated(d.Digest, p)
		p, known = a.proof(d.Digest)
	}
	tell, rest := tellAll(d.Size, progress)
	p.err = a.readProof(ctx, p, d, tell)
	if p.err != nil && !isDamage(p.err) {
		a.disprove(d.Digest) // an interrupted reading says nothing about the blob
	}
	a.sawBlob(d.Digest, p)
	close(p.done)
	rest()
	return p
}

// tellAll has progress, which may be nil, told of size bytes in all: as they are
// read, and at last of those that were not.
func tellAll(size int64, progress func(int64)) (tell func(int64), rest func()) {
	if progress == nil {
		return nil, func() {}
	}
	var told atomic.Int64
	return func(n int64) { told.Add(n); progress(n) }, func() { progress(size - told.Load()) }
}

// proof returns the proof of a blob, and whether it was there before. If not,
// the caller has to bring it about.
func (a *Archive) proof(d digest.Digest) (p *proof, known bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if p, known = a.proofs[d]; !known {
		p = newProof()
		a.proofs[d] = p
	}
	return p, known
}

// outdated forgets a proof, unless another has taken its place.
func (a *Archive) outdated(d digest.Digest, p *proof) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.proofs[d] == p {
		delete(a.proofs, d)
	}
}

// current reports whether the blob is still the one that was read.
func (a *Archive) current(ctx context.Context, d ocispec.Descriptor, p *proof) bool {
	now, err := a.store.Stat(ctx, d.Digest)
	return err == nil && now.Size == p.size && now.Version == p.version
}

func (a *Archive) readProof(ctx context.Context, p *proof, d ocispec.Descriptor, tell func(int64)) error {
	// Looked at before it is read: what takes its place is another version.
	info, err := a.store.Stat(ctx, d.Digest)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	p.version, p.written = info.Version, info.Written
	if a.opts.HeadOnly && err == nil && info.Size == d.Size {
		p.digest, p.size, p.unread = d.Digest, d.Size, true
		return nil
	}
	r, err := a.Blob(ctx, d)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := p.read(ctx, &tellingReader{r, tell}); err != nil {
		return unreadable(ctx, d.Digest, err)
	}
	if p.digest != d.Digest || p.size != d.Size {
		return damage(d.Digest, fmt.Sprintf("content is %s, %d bytes", p.digest, p.size))
	}
	return nil
}

// read hashes r and what it decompresses to, in one pass.
func (p *proof) read(ctx context.Context, r io.Reader) error {
	stored := digestio.NewHasher()
	tee := io.TeeReader(r, stored)
	plain, err := decompress(ctx, tee)
	if err != nil {
		return fmt.Errorf("does not decompress: %w", err)
	}
	defer plain.Close()
	sum := digestio.NewHasher()
	if _, err := copyAll(sum, plain); err != nil {
		return fmt.Errorf("does not decompress: %w", err)
	}
	// A decoder may stop before the end of its input: what follows counts too.
	if _, err := io.Copy(io.Discard, tee); err != nil {
		return err
	}
	p.digest, p.size = stored.Digest(), stored.Size()
	p.diffID, p.unpacked = sum.Digest(), sum.Size()
	return nil
}

func isDamage(err error) bool {
	var bad *DamageError
	return errors.As(err, &bad)
}

// disprove forgets what is known of a blob, as when it is written again.
func (a *Archive) disprove(d digest.Digest) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.proofs, d)
}

// knownBad reports whether this process has read the blob and found damage.
func (a *Archive) knownBad(d digest.Digest) bool {
	a.mu.Lock()
	p := a.proofs[d]
	a.mu.Unlock()
	if p == nil {
		return false
	}
	select {
	case <-p.done:
		return p.err != nil
	default:
		return false
	}
}

// Verify proves that the archive gives back img, as the engine reports it now,
// from this record. It reads every blob of the record that this process has
// not read before, unless [Options] say that presence is enough. The error is a [*DamageError] where blobs are bad.
func (a *Archive) Verify(ctx context.Context, r *Record, img engine.Image, store engine.StoreKind) (Receipt, error) {
	if !r.Covers(img, store) {
		return Receipt{}, fmt.Errorf("record %s is not about this image with these names", r.name)
	}
	if err := a.Check(ctx, r, nil); err != nil {
		return Receipt{}, err
	}
	if err := a.Confirm(ctx, r); err != nil {
		return Receipt{}, err
	}
	return Receipt{image: img.ID, store: store, diffIDs: slices.Clone(img.DiffIDs),
		names: slices.Clone(r.References), record: r, proven: time.Now()}, nil
}

// Check reads back every blob of a record and compares each with what the
// record says of it, and the image's identity with what it rests on. The error
// is a [*DamageError] that names every bad blob. Progress, where not nil, is
// told the size of each blob that had to be read, when it has been; it may be
// called from several goroutines.
func (a *Archive) Check(ctx context.Context, r *Record, progress func(int64)) error {
	own, ok := a.store.(SelfContained)
	if !ok || a.opts.HeadOnly {
		return a.check(ctx, r, progress, func(ocispec.Descriptor) bool { return false })
	}
	written, _ := own.Written(ctx, r.name) // before it is read: what takes its place is another
	err := a.check(ctx, r, progress, func(ocispec.Descriptor) bool { return false })
	if err == nil || isDamage(err) {
		a.saw(r.name, written, err != nil)
	}
	return err
}

// check is Check, but for blobs that are believed.
func (a *Archive) check(ctx context.Context, r *Record, progress func(int64), believed func(ocispec.Descriptor) bool) error {
	var mu sync.Mutex
	bad, err := a.audit(ctx, r)
	if err != nil {
		return err
	}
	g, reading := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, d := range r.Blobs {
		g.Go(func() error {
			if believed(d) {
				return nil
			}
			err := a.checkBlob(reading, r, d, progress)
			var damaged *DamageError
			if errors.As(err, &damaged) {
				mu.Lock()
				defer mu.Unlock()
				bad = append(bad, damaged.Blobs...)
				return nil
			}
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	if len(bad) > 0 {
		err = damageOf(bad)
	} else {
		err = a.checkIdentity(ctx, r)
	}
	a.sawDamage(err)
	return err
}

// audit returns what is wrong with the record's own file, where it has one. A
// blob's other copies, which the archive may read instead, do not make up for
// it.
func (a *Archive) audit(ctx context.Context, r *Record) ([]Damage, error) {
	own, ok := a.store.(SelfContained)
	if !ok || a.opts.HeadOnly {
		return nil, nil
	}
	err := own.Audit(ctx, r)
	var damaged *DamageError
	if errors.As(err, &damaged) {
		return damaged.Blobs, nil
	}
	return nil, err
}

// damageOf names each bad blob once.
func damageOf(bad []Damage) error {
	bad = slices.Clone(bad)
	slices.SortStableFunc(bad, func(a, b Damage) int { return cmp.Compare(a.Digest, b.Digest) })
	return &DamageError{Blobs: slices.CompactFunc(bad, func(a, b Damage) bool { return a.Digest == b.Digest })}
}

func (a *Archive) checkBlob(ctx context.Context, r *Record, d ocispec.Descriptor, progress func(int64)) error {
	p := a.prove(ctx, d, progress)
	if p.err != nil || p.unread {
		return p.err
	}
	for _, c := range r.Contents {
		for _, l := range c.Layers {
			if l.Stored.Digest != d.Digest {
				continue
			}
			if l.DiffID != p.diffID || l.Size != p.unpacked {
				return damage(d.Digest, fmt.Sprintf("decompresses to %s (%d bytes), not to layer %s (%d bytes)",
					p.diffID, p.unpacked, l.DiffID, l.Size))
			}
		}
	}
	return nil
}
