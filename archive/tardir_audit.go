package archive

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/archprune/archprune/internal/digestio"
)

// Audit implements [SelfContained]. A file that this process has found whole is
// read again only if it was written since.
func (t *tardir) Audit(ctx context.Context, r *Record) error {
	var bad []Damage
	err := t.retry(func() error {
		bad = nil
		files, err := t.holding(r.name)
		if errors.Is(err, os.ErrNotExist) {
			return damage(r.View.Digest, "its tarball is missing")
		}
		if err != nil {
			return err
		}
		for _, b := range files {
			err := t.audit(ctx, t.join(b.file), b, r)
			var damaged *DamageError
			if !errors.As(err, &damaged) && err != nil {
				return err
			}
			if damaged != nil {
				bad = append(bad, damaged.Blobs...)
			}
		}
		return nil
	})
	if err == nil && len(bad) > 0 {
		return damageOf(bad)
	}
	return err
}

// audit reads a tarball from end to end and compares it with what its record
// says: its tar with the tar of a load, its blobs with their digests, and all
// the rest with the sum in its index.
func (t *tardir) audit(ctx context.Context, path string, b *tarball, r *Record) error {
	if b.index == nil {
		return damage(r.View.Digest, fmt.Sprintf("in %s: %v", b.file, b.err))
	}
	file, err := t.tree.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return errMoved
	}
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	if fileVersion(info) != b.version {
		return errMoved
	}
	t.know.Lock()
	audited := b.audited
	t.know.Unlock()
	if audited {
		return nil
	}
	a := &auditor{ctx: ctx, name: b.file, file: file, index: b.index, rest: digestio.NewHasher(), next: b.index.Blobs}
	err = a.read(t.self, r)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	t.know.Lock()
	defer t.know.Unlock()
	for _, d := range a.bad {
		b.sound[d.Digest] = false
	}
	for _, in := range b.index.Blobs[:len(b.index.Blobs)-len(a.next)] {
		if _, bad := b.sound[in.Digest]; !bad {
			b.sound[in.Digest] = true
		}
	}
	if err != nil {
		a.bad = append(a.bad, Damage{Digest: r.View.Digest, Reason: fmt.Sprintf("in %s: %v", b.file, err)})
	}
	b.broken = err != nil
	if len(a.bad) > 0 {
		return damageOf(a.bad)
	}
	b.audited = true
	return nil
}

// auditor reads a tarball in its order.
type auditor struct {
	ctx   context.Context
	name  string // of the file
	file  *os.File
	index *tarballIndex
	next  []blobSpan // not read yet
	at    int64
	want  bytes.Buffer // what the tar must have between the blob before and the next
	rest  *digestio.Hasher
	bad   []Damage
}

// read returns what is wrong apart from blobs.
func (a *auditor) read(self *Archive, r *Record) error {
	load, err := self.recordLoad(a.ctx, r)
	if err != nil {
		return err
	}
	if err := load.parts(a.ctx, a); err != nil {
		return err
	}
	if err := a.between(a.index.TarEnd); err != nil {
		return err
	}
	if err := a.skipped(); err != nil {
		return err
	}
	for len(a.next) > 0 {
		if err := a.past(a.next[0].Offset); err != nil {
			return err
		}
		a.content()
	}
	if err := a.past(a.index.start); err != nil {
		return err
	}
	if a.rest.Digest() != a.index.Rest {
		return errors.New("what is between the blobs is not what was written")
	}
	for _, d := range r.Blobs {
		if in, ok := a.index.blob(d.Digest); !ok || in.Size != d.Size {
			return fmt.Errorf("it lacks blob %s", d.Digest)
		}
	}
	data, err := a.index.Record.bytes(a.file)
	if err != nil {
		return err
	}
	_, err = decodeRecord(r.name, data)
	return err
}

// plain takes what the tar must have next.
func (a *auditor) plain(b []byte) error {
	a.want.Write(b)
	return nil
}

// blob reads the blob that the tar must have next.
func (a *auditor) blob(_ context.Context, b tarBlob) error {
	if len(a.next) == 0 {
		return errors.New("it ends early")
	}
	in := a.next[0]
	want := b.stored.Digest
	if in.packed() {
		want = b.digest
	} else if want == b.digest {
		return errors.New("the tar has it without a frame")
	}
	if in.Digest != want {
		return fmt.Errorf("the tar has %s instead", in.Digest)
	}
	if err := a.between(in.Offset); err != nil {
		return err
	}
	a.content()
	return nil
}

// content reads the next blob. That one is bad does not end the reading.
func (a *auditor) content() {
	in := a.next[0]
	a.next = a.next[1:]
	if err := in.check(a.ctx, a.file); err != nil {
		a.bad = append(a.bad, Damage{Digest: in.Digest, Reason: fmt.Sprintf("in %s: %v", a.name, err)})
	}
	a.at = in.end()
}

// between reads up to an offset and compares what it decompresses to with what
// the tar must have there.
func (a *auditor) between(to int64) error {
	from := a.at
	if err := a.past(to); err != nil {
		return err
	}
	plain, err := ownFrames(io.NewSectionReader(a.file, from, to-from))
	if err != nil {
		return err
	}
	defer plain.Close()
	got, err := io.ReadAll(io.LimitReader(plain, int64(a.want.Len())+1))
	if err != nil {
		return err
	}
	if !bytes.Equal(got, a.want.Bytes()) {
		return fmt.Errorf("its tar is another one before byte %d", to)
	}
	a.want.Reset()
	return nil
}

// past reads up to an offset and adds it to the sum of the rest.
func (a *auditor) past(to int64) error {
	if to < a.at {
		return errors.New("its parts overlap")
	}
	n, err := io.Copy(a.rest, contextReader{a.ctx, io.NewSectionReader(a.file, a.at, to-a.at)})
	if err == nil && n != to-a.at {
		err = io.ErrUnexpectedEOF
	}
	a.at = to
	return err
}

// skipped makes sure that zstd skips all that follows the tar.
func (a *auditor) skipped() error {
	head := make([]byte, skipHeader)
	at := a.index.TarEnd
	for at < a.index.start {
		if _, err := a.file.ReadAt(head, at); err != nil {
			return err
		}
		if binary.LittleEndian.Uint32(head) != skipMagic {
			break
		}
		at += skipHeader + int64(binary.LittleEndian.Uint32(head[4:]))
	}
	if at != a.index.start {
		return errors.New("what follows its tar is not skipped")
	}
	return nil
}
