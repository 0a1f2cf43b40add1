package archive

import (
	"archive/tar"
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
)

// streamBuffer is large enough that an engine seldom waits for the reader.
const streamBuffer = 1 << 20

const (
	maxEntries   = 1 << 20 // of one save
	maxEntryName = 4096    // bytes
	// heldEntry is about what one entry takes in memory beside its name.
	heldEntry = 256
)

// readSave calls visit for each entry of a tar that an engine sent, and fails
// unless the stream is whole: engines answer 200 and then may append an error
// after the tar's trailer, or close a tar without its trailer, and
// archive/tar takes both for a good end.
func readSave(body io.Reader, visit func(h *tar.Header, r io.Reader) error) error {
	count := &counter{r: bufio.NewReaderSize(body, streamBuffer)}
	tr := tar.NewReader(count)
	last := int64(0) // size of the entry just read
	for n := 0; ; n++ {
		before := count.n
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			if count.n-before < padding(last)+trailer {
				return fmt.Errorf("%w: the stream ends without the end of its tar", ErrIncomplete)
			}
			break
		}
		if err != nil {
			return fmt.Errorf("reading the tar: %w", err)
		}
		if err := sane(h, n); err != nil {
			return err
		}
		if err := visit(h, tr); err != nil {
			return err
		}
		if _, err := io.Copy(io.Discard, tr); err != nil {
			return fmt.Errorf("reading %.200q: %w", h.Name, err)
		}
		last = h.Size
		if h.Typeflag != tar.TypeReg {
			last = 0
		}
	}
	return readPastEnd(count)
}

// sane refuses the n-th entry where no engine sends such a one. A sparse file is
// as large as it says, whatever came of it.
func sane(h *tar.Header, n int) error {
	switch {
	case n >= maxEntries:
		return fmt.Errorf("%w: the tar has more than %d entries", ErrIncomplete, maxEntries)
	case len(h.Name) > maxEntryName || len(h.Linkname) > maxEntryName:
		return fmt.Errorf("%w: entry %.40q… of the tar has a name of more than %d bytes", ErrIncomplete, h.Name, maxEntryName)
	}
	for key := range h.PAXRecords {
		if strings.HasPrefix(key, "GNU.sparse.") {
			return fmt.Errorf("%w: entry %.200q of the tar is a sparse file", ErrIncomplete, h.Name)
		}
	}
	return nil
}

const (
	block   = 512
	trailer = 2 * block // two zero blocks end a tar
)

func padding(size int64) int64 { return (block - size%block) % block }

// readPastEnd fails where anything but zeros follows a tar's trailer.
func readPastEnd(r io.Reader) error {
	buf := make([]byte, 64<<10)
	for {
		n, err := r.Read(buf)
		if rest := bytes.TrimLeft(buf[:n], "\x00"); len(rest) > 0 {
			return fmt.Errorf("%w: after the tar it says: %s", ErrIncomplete, firstLine(rest))
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading what follows the tar: %w", err)
		}
	}
}

// firstLine returns at most 500 printable bytes.
func firstLine(b []byte) string {
	line, _, _ := bytes.Cut(bytes.TrimSpace(b), []byte("\n"))
	if len(line) > 500 {
		line = line[:500]
	}
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(string(line), "?"))
}

type counter struct {
	r io.Reader
	n int64
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	return n, err
}
