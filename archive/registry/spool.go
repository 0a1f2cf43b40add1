package registry

import (
	"cmp"
	"fmt"
	"io"
	"math"
	"os"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/internal/digestio"
)

// spool is a temporary file without a name: it is gone with the process,
// however that ends.
type spool struct{ file *os.File }

func newSpool(dir string) (*spool, error) {
	file, err := os.CreateTemp(dir, "archprune-*") // mode 0600
	if err != nil {
		return nil, fmt.Errorf("keeping a layer until it is sent: %w; TMPDIR or ARCHPRUNE_TMP names another folder", err)
	}
	if err := os.Remove(file.Name()); err != nil {
		file.Close()
		return nil, err
	}
	return &spool{file}, nil
}

func (s *spool) Write(b []byte) (int, error) {
	n, err := s.file.Write(b)
	if err != nil {
		return n, fmt.Errorf("keeping a layer until it is sent: %w; TMPDIR or ARCHPRUNE_TMP names another folder", err)
	}
	return n, nil
}

// reader reads the content from its start. There may be several.
func (s *spool) reader() io.Reader { return io.NewSectionReader(s.file, 0, math.MaxInt64) }

func (s *spool) Close() error { return s.file.Close() }

// tempDir is where spools are.
func tempDir(dir string) string { return cmp.Or(dir, os.Getenv("ARCHPRUNE_TMP")) }

// fill takes a blob and checks it.
func (s *spool) fill(r io.Reader, d ocispec.Descriptor) error {
	_, err := io.Copy(s, digestio.VerifyReader(r, d.Digest, d.Size))
	return err
}
