package archive

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"
)

// ChangeTarballs changes, in each tarball of a folder, the bytes that are
// stored of a blob or, where the digest is empty, of the record of that name.
// What does not keep their number can't be done to a part of a tarball; then it
// returns false.
func ChangeTarballs(t testing.TB, dir string, d digest.Digest, record string, change func([]byte) []byte) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"+tarballSuffix))
	if err != nil {
		t.Fatal(err)
	}
	found := false
	for _, name := range files {
		data, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		index, err := readIndex(bytes.NewReader(data), int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		in, ok := index.blob(d)
		part := in.span
		if d == "" {
			part, ok = index.Record, index.Name == record
		}
		if !ok {
			continue
		}
		found = true
		changed := change(bytes.Clone(data[part.Offset:part.end()]))
		if int64(len(changed)) != part.Length {
			return false
		}
		copy(data[part.Offset:], changed)
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if !found {
		t.Fatalf("no tarball has %s%s", d, record)
	}
	return true
}

// ReindexTarball gives a tarball another index, and a footer that fits it.
func ReindexTarball(t testing.TB, data []byte, change func(index []byte) []byte) []byte {
	t.Helper()
	index, err := readIndex(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		t.Fatal(err)
	}
	before := data[index.start+skipHeader : len(data)-footerSize]
	tail := appendTail(nil, index.start, change(bytes.Clone(before)))
	return append(bytes.Clone(data[:index.start]), tail...)
}
