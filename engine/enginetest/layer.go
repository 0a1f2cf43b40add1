package enginetest

import (
	"archive/tar"
	"compress/gzip"
	"crypto/sha256"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
)

// fileTime is the modification time of every file in a generated layer.
var fileTime = time.Date(2025, time.March, 4, 5, 6, 7, 0, time.UTC)

// Layer is one generated layer of an [Image]. It is made anew whenever it is
// read, always with the same bytes, so that a layer of any size costs no
// memory. The zero Layer is an empty tar.
type Layer struct {
	// Gzip makes [Engine.Load] send the layer compressed, as registries give
	// it. The containerd image store keeps it so; other stores unpack it.
	Gzip bool

	key   string // equal keys, equal bytes
	about string // for the image's history
	write func(*tar.Writer) error
}

// Gzipped returns the same layer with Gzip set.
func (l Layer) Gzipped() Layer {
	l.Gzip = true
	return l
}

// WriteTo writes the layer's tar, never compressed, to w.
func (l Layer) WriteTo(w io.Writer) (int64, error) {
	n := &counter{w: w}
	tw := tar.NewWriter(n)
	if l.write != nil {
		if err := l.write(tw); err != nil {
			return n.size, err
		}
	}
	err := tw.Close()
	return n.size, err
}

// Open returns the layer's tar, never compressed, as a stream. Close it.
func (l Layer) Open() io.ReadCloser {
	r, w := io.Pipe()
	go func() {
		_, err := l.WriteTo(w)
		w.CloseWithError(err)
	}()
	return r
}

// DiffID returns the digest of the layer's tar.
func (l Layer) DiffID() digest.Digest { return l.measure().diffID }

// Size returns the size of the layer's tar.
func (l Layer) Size() int64 { return l.measure().size }

// Files is a layer of these files: content by absolute path. A path that ends
// in a slash is a folder.
func Files(files map[string]string) Layer {
	names := slices.Sorted(maps.Keys(files))
	var key strings.Builder
	for _, name := range names {
		fmt.Fprintf(&key, "%q=%q,", name, files[name])
	}
	write := func(tw *tar.Writer) error {
		for _, name := range names {
			h := tar.Header{Name: strings.TrimPrefix(name, "/"), Mode: 0o644, Size: int64(len(files[name])), ModTime: fileTime}
			if strings.HasSuffix(name, "/") {
				h.Typeflag, h.Mode = tar.TypeDir, 0o755
			}
			if err := tw.WriteHeader(&h); err != nil {
				return err
			}
			if _, err := io.WriteString(tw, files[name]); err != nil {
				return err
			}
		}
		return nil
	}
	about := fmt.Sprintf("COPY %d files", len(files))
	return Layer{key: digest.FromString(key.String()).String(), about: about, write: write}
}

// applets are the commands that a Busybox layer offers.
var applets = []string{"cat", "echo", "false", "ls", "sh", "sleep", "true"}

// Busybox is a layer with a static busybox as /bin/busybox and links to it, as
// /bin/sh, for what a container needs in order to run. It is the machine's
// own busybox, which Debian packages as busybox-static.
func Busybox(t testing.TB) Layer {
	t.Helper()
	data, err := readBusybox()
	if err != nil {
		t.Fatalf("making a busybox layer: %v\n%s", err, hint)
	}
	write := func(tw *tar.Writer) error {
		dir := tar.Header{Typeflag: tar.TypeDir, Name: "bin/", Mode: 0o755, ModTime: fileTime}
		if err := tw.WriteHeader(&dir); err != nil {
			return err
		}
		file := tar.Header{Name: "bin/busybox", Mode: 0o755, Size: int64(len(data)), ModTime: fileTime}
		if err := tw.WriteHeader(&file); err != nil {
			return err
		}
		if _, err := tw.Write(data); err != nil {
			return err
		}
		for _, name := range applets {
			link := tar.Header{Typeflag: tar.TypeSymlink, Name: path.Join("bin", name), Linkname: "busybox", Mode: 0o777, ModTime: fileTime}
			if err := tw.WriteHeader(&link); err != nil {
				return err
			}
		}
		return nil
	}
	return Layer{key: "busybox", about: "ADD busybox", write: write}
}

var readBusybox = sync.OnceValues(func() ([]byte, error) {
	name, err := exec.LookPath("busybox")
	if err != nil {
		return nil, err
	}
	f, err := elf.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return nil, fmt.Errorf("%s is not static", name)
		}
	}
	return os.ReadFile(name)
})

// measure is what the archive form must say of a layer before its bytes.
type measure struct {
	diffID   digest.Digest
	size     int64
	blob     digest.Digest // of what is sent: gzip or the tar
	blobSize int64
	err      error
}

// measures remembers each layer's measure, since a benchmark's large layers
// are shared by many images. Values are func() measure.
var measures sync.Map

func (l Layer) measure() measure {
	once, _ := measures.LoadOrStore(fmt.Sprint(l.Gzip, l.key), sync.OnceValue(func() measure {
		diff, blob := sha256.New(), sha256.New()
		sent := &counter{w: blob}
		if !l.Gzip {
			n, err := l.WriteTo(diff)
			id := digest.NewDigest(digest.SHA256, diff)
			return measure{diffID: id, size: n, blob: id, blobSize: n, err: err}
		}
		gz := gzip.NewWriter(sent)
		n, err := l.WriteTo(io.MultiWriter(diff, gz))
		err = errors.Join(err, gz.Close())
		return measure{
			diffID: digest.NewDigest(digest.SHA256, diff), size: n,
			blob: digest.NewDigest(digest.SHA256, blob), blobSize: sent.size,
			err: err,
		}
	}))
	return once.(func() measure)()
}

// writeBlob writes what is sent to the engine.
func (l Layer) writeBlob(w io.Writer) error {
	if !l.Gzip {
		_, err := l.WriteTo(w)
		return err
	}
	gz := gzip.NewWriter(w)
	if _, err := l.WriteTo(gz); err != nil {
		return err
	}
	return gz.Close()
}

// counter counts what is written through it.
type counter struct {
	w    io.Writer
	size int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.size += int64(n)
	return n, err
}
