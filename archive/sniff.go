package archive

import (
	"bufio"
	"bytes"
	"io"
)

// form is what the first bytes of a blob say about the rest.
type form int

const (
	formPlain form = iota
	formZstd
	formGzip
	formJSON
)

var (
	magicZstd = []byte{0x28, 0xb5, 0x2f, 0xfd}
	magicGzip = []byte{0x1f, 0x8b}
)

func sniff(head []byte) form {
	switch {
	case bytes.HasPrefix(head, magicZstd):
		return formZstd
	case bytes.HasPrefix(head, magicGzip):
		return formGzip
	case len(head) > 0 && (head[0] == '{' || head[0] == '['):
		return formJSON
	default:
		return formPlain
	}
}

// peeker is a reader whose first bytes can be looked at.
type peeker struct{ *bufio.Reader }

func newPeeker(r io.Reader) peeker { return peeker{bufio.NewReaderSize(r, 256<<10)} }

// head returns up to four bytes without consuming them.
func (p peeker) head() []byte {
	b, _ := p.Peek(4)
	return b
}
