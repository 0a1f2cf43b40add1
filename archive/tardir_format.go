package archive

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"regexp"
	"strings"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/internal/digestio"
)

// A tarball is one file with one record and all that it needs:
//
//	zstd frames       the tar that docker load takes, as an export has it
//	skippable frames  blobs that the tar lacks, the record, its signature
//	index             a skippable frame that tells where each of them is
//	footer            a skippable frame of footerSize that tells where the index is
//
// What zstd makes of the file is the tar and nothing else: it skips frames with
// the magic numbers of RFC 8878, section 3.1.2.
const (
	skipMagic  = 0x184D2A5A
	skipHeader = 8 // magic and length
	footerTag  = "archtar1"
	footerSize = skipHeader + len(footerTag) + 8 + 8 + 32

	// Blobs of a size worth it begin at multiples of what file systems share
	// between files.
	alignment   = 4 << 10
	alignedFrom = 64 << 10

	tarballSuffix = ".tar.zst"
)

// recordName is the form of a record's name.
var recordName = regexp.MustCompile(`\d{8}T\d{6}\.\d{3}Z-[0-9a-f]{12}-[0-9a-f]{20}`)

// tarballIndex tells what is where in a tarball.
type tarballIndex struct {
	Format    int           `json:"format"`
	Name      string        `json:"name"`      // of the record
	Record    span          `json:"record"`    // its bytes
	Signature span          `json:"signature"` // no length where there is none
	Blobs     []blobSpan    `json:"blobs"`     // in the order of the file
	TarEnd    int64         `json:"tar_end"`
	Rest      digest.Digest `json:"rest"` // of all bytes before the index that are no blob's
	start     int64         // of the index's frame
}

// span is a part of the file, in bytes.
type span struct {
	Offset int64 `json:"offset"`
	Length int64 `json:"length"`
}

// bytes reads the span into memory; nil where it has no length.
func (s span) bytes(file io.ReaderAt) ([]byte, error) {
	if s.Length == 0 {
		return nil, nil
	}
	data := make([]byte, s.Length)
	_, err := file.ReadAt(data, s.Offset)
	return data, err
}

func (s span) end() int64 { return s.Offset + s.Length }

// blobSpan is where a blob is.
type blobSpan struct {
	Digest digest.Digest `json:"digest"`
	Size   int64         `json:"size"`             // bytes of the blob
	Frames digest.Digest `json:"frames,omitempty"` // of the zstd frames that have the blob in them; empty where it lies as it is
	span
}

func (s blobSpan) packed() bool { return s.Frames != "" }

// read reads the blob. Close does not close the file.
func (s blobSpan) read(file io.ReaderAt) io.ReadCloser {
	section := io.NewSectionReader(file, s.Offset, s.Length)
	if s.packed() {
		return unpack(section)
	}
	return io.NopCloser(section)
}

// unpacked has what is no zstd count as content that does not match.
type unpacked struct {
	plain io.ReadCloser
	err   error // where there is no plain
}

func unpack(r io.Reader) *unpacked {
	plain, err := ownFrames(r)
	return &unpacked{plain, err}
}

func (u *unpacked) Read(b []byte) (n int, err error) {
	if err = u.err; err == nil {
		n, err = u.plain.Read(b)
	}
	if err != nil && err != io.EOF {
		err = fmt.Errorf("%w: %w", digestio.ErrMismatch, err)
	}
	return n, err
}

func (u *unpacked) Close() error {
	if u.err != nil {
		return nil
	}
	return u.plain.Close()
}

// check reads the blob and compares it, and the frames that it is in, with
// their digests.
func (s blobSpan) check(ctx context.Context, file io.ReaderAt) error {
	stored := contextReader{ctx, io.NewSectionReader(file, s.Offset, s.Length)}
	if !s.packed() {
		_, err := copyAll(io.Discard, digestio.VerifyReader(stored, s.Digest, s.Size))
		return err
	}
	frames := digestio.VerifyReader(stored, s.Frames, s.Length)
	plain := unpack(frames)
	defer plain.Close()
	if _, err := copyAll(io.Discard, digestio.VerifyReader(plain, s.Digest, s.Size)); err != nil {
		return err
	}
	_, err := copyAll(io.Discard, frames) // a decoder may stop before the end
	return err
}

// errNoTarball means that a file is none of ours.
var errNoTarball = errors.New("not a tarball of an archive")

// readIndex reads the index of a tarball and checks that it makes sense. The
// error is errNoTarball where the file does not end like one.
func readIndex(file io.ReaderAt, size int64) (*tarballIndex, error) {
	footer := make([]byte, footerSize)
	if size < int64(len(footer)) {
		return nil, errNoTarball
	}
	if _, err := file.ReadAt(footer, size-int64(len(footer))); err != nil {
		return nil, err
	}
	head := appendSkip(nil, footerSize-skipHeader)
	fields, ok := bytes.CutPrefix(footer, append(head, footerTag...))
	if !ok {
		return nil, errNoTarball
	}
	start, length := binary.LittleEndian.Uint64(fields), binary.LittleEndian.Uint64(fields[8:])
	if length < skipHeader || length > maxMetadata || start > uint64(size) || start+length+uint64(footerSize) != uint64(size) {
		return nil, errors.New("its footer leads nowhere")
	}
	frame := make([]byte, length)
	if _, err := file.ReadAt(frame, int64(start)); err != nil {
		return nil, err
	}
	sum := digestio.NewHasher()
	sum.Write(frame)
	if sum.Digest() != digest.NewDigestFromBytes(digest.SHA256, fields[16:]) {
		return nil, errors.New("its index is not what was written")
	}
	index := &tarballIndex{start: int64(start)}
	if err := json.Unmarshal(frame[skipHeader:], index); err != nil {
		return nil, fmt.Errorf("its index: %w", err)
	}
	if err := index.validate(); err != nil {
		return nil, err
	}
	return index, nil
}

// validate makes sure that nothing in the index leads out of the file, or to
// another record's name than one that may stand in a path.
func (x *tarballIndex) validate() error {
	if x.Format > formatVersion {
		return fmt.Errorf("%w: tarball of format %d", ErrNewerFormat, x.Format)
	}
	if recordName.FindString(x.Name) != x.Name || x.Name == "" {
		return fmt.Errorf("its index names no record: %.80q", x.Name)
	}
	at := int64(0)
	for _, b := range x.Blobs {
		if err := b.Digest.Validate(); err != nil || b.Digest.Algorithm() != digest.SHA256 {
			return fmt.Errorf("its index has digest %.80q", b.Digest)
		}
		if b.packed() && b.Frames.Validate() != nil {
			return fmt.Errorf("its index has digest %.80q", b.Frames)
		}
		if b.Size < 0 || b.Offset < at || b.Length < 0 || b.Length > x.start-b.Offset || !b.packed() && b.Length != b.Size {
			return fmt.Errorf("its index has blob %.80s where it can't be", b.Digest)
		}
		at = b.end()
	}
	for _, s := range []span{x.Record, x.Signature} {
		if s.Offset < 0 || s.Length < 0 || s.Length > min(maxMetadata, x.start-s.Offset) {
			return errors.New("its index has the record where it can't be")
		}
	}
	if x.TarEnd < 0 || x.TarEnd > x.start {
		return errors.New("its index has the end of the tar where it can't be")
	}
	return nil
}

// blob finds a blob, as it is rather than in frames.
func (x *tarballIndex) blob(d digest.Digest) (found blobSpan, ok bool) {
	for _, b := range x.Blobs {
		if b.Digest == d && (!ok || !b.packed()) {
			found, ok = b, true
		}
	}
	return found, ok
}

// appendSkip appends the header of a skippable frame with n bytes in it.
func appendSkip(b []byte, n int) []byte {
	return binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(b, skipMagic), uint32(n))
}

// tail is what a tarball ends with: the frame of its index, which begins at
// start, and the footer.
func (x *tarballIndex) tail(start int64) ([]byte, error) {
	data, err := json.Marshal(x)
	if err != nil {
		return nil, err
	}
	if len(data) > maxMetadata-skipHeader {
		return nil, fmt.Errorf("an index of %d bytes is too large", len(data))
	}
	return appendTail(nil, start, data), nil
}

func appendTail(b []byte, start int64, index []byte) []byte {
	frame := append(appendSkip(nil, len(index)), index...)
	sum := digestio.NewHasher()
	sum.Write(frame)
	b = append(b, frame...)
	b = append(appendSkip(b, footerSize-skipHeader), footerTag...)
	b = binary.LittleEndian.AppendUint64(b, uint64(start))
	b = binary.LittleEndian.AppendUint64(b, uint64(len(frame)))
	return append(b, sum.Sum()...)
}

// maxLabel bounds the part of a tarball's name that is a reference; file
// systems take names of 255 bytes.
const maxLabel = 160

// unfitForFile is what does not go into a file's name: all but the characters of
// names and tags, and what would hide the file or look like an option.
var unfitForFile = regexp.MustCompile(`^[.-]|[^A-Za-z0-9_.-]`)

// tarballName is the name of a record's tarball. People read it; it is a
// record's own name that tells one from another.
func tarballName(r *Record) string {
	label := "untagged"
	if len(r.References) > 0 {
		label = unfitForFile.ReplaceAllString(r.References[0], "_")
	}
	return label[:min(len(label), maxLabel)] + "_" + r.name + tarballSuffix
}

// namedRecord is the record that a tarball has by its file's name.
func namedRecord(file string) (string, bool) {
	stem, ok := strings.CutSuffix(file, tarballSuffix)
	i := strings.LastIndexByte(stem, '_')
	name := stem[i+1:]
	return name, ok && name != "" && recordName.FindString(name) == name
}

// fileVersion changes when a file is written again, and not when it is renamed.
func fileVersion(info fs.FileInfo) string {
	return fmt.Sprintf("%s:%d", blobInfo("", info).Version, info.ModTime().Unix())
}
