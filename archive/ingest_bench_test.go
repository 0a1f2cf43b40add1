package archive_test

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/archprune/archprune/engine"
)

// BenchmarkManySmallImages archives and proves many images of a small layer
// each: here fsync costs more than all work on bytes.
func BenchmarkManySmallImages(b *testing.B) {
	const n = 64
	var images []testImage
	base := layerTar(b, "base")
	for i := range n {
		images = append(images, newTestImage(b, fmt.Sprintf("tiny:%d", i), base, layerTar(b, fmt.Sprint("own", i))))
	}
	stream := oldSave(b, images...)
	for b.Loop() {
		ingestAndVerify(b, stream, images)
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N*n), "us/image")
}

// BenchmarkIngest archives and proves one image whose layer compresses to
// about half.
func BenchmarkIngest(b *testing.B) {
	img := newTestImage(b, "large:1", layerTar(b, halfRandom(64<<20)))
	stream := oldSave(b, img)
	b.SetBytes(int64(len(stream)))
	for b.Loop() {
		ingestAndVerify(b, stream, []testImage{img})
	}
}

// BenchmarkReadSave reads saves of an image whose layers the archive has, in
// each form that engines send: nothing is compressed or written.
func BenchmarkReadSave(b *testing.B) {
	img := newTestImage(b, "large:1", layerTar(b, halfRandom(64<<20)))
	stored, zipped := newStoreImage(b, img, false), newStoreImage(b, img, true)
	forms := []struct {
		name   string
		stream []byte
		image  engine.Image
		info   engine.Info
	}{
		{"before25", oldSave(b, img), img.Image, classicInfo},
		{"graphdriver", classicSave(b, img), img.Image, classicInfo},
		{"containerd", containerdSave(b, stored), stored.Image, containerdInfo},
		{"containerd-gzip", containerdSave(b, zipped), zipped.Image, containerdInfo},
	}
	for _, form := range forms {
		b.Run(form.name, func(b *testing.B) {
			f := newFolder(b)
			mustIngest(b, f, form.stream, form.info, form.image)
			b.SetBytes(int64(len(form.stream)))
			b.ReportAllocs()
			for b.Loop() {
				mustIngest(b, f, form.stream, form.info, form.image)
			}
		})
	}
}

// BenchmarkVerify reads an archive back in a process that has not read it.
func BenchmarkVerify(b *testing.B) {
	img := newTestImage(b, "large:1", layerTar(b, halfRandom(64<<20)))
	f := newFolder(b)
	r := mustIngest(b, f, oldSave(b, img), classicInfo, img.Image)[0]
	b.SetBytes(64 << 20)
	for b.Loop() {
		if _, err := reopen(b, f).Verify(context.Background(), r, img.Image, engine.Classic); err != nil {
			b.Fatal(err)
		}
	}
}

func ingestAndVerify(b *testing.B, stream []byte, images []testImage) {
	b.Helper()
	f := newFolder(b)
	defer f.Close()
	var plain []engine.Image
	for _, img := range images {
		plain = append(plain, img.Image)
	}
	results, err := f.Ingest(context.Background(), bytes.NewReader(stream), plain, classicInfo)
	if err != nil {
		b.Fatal(err)
	}
	for _, r := range results {
		if r.Err != nil {
			b.Fatal(r.Err)
		}
		if _, err := f.Verify(context.Background(), r.Record, r.Image, engine.Classic); err != nil {
			b.Fatal(err)
		}
	}
}

// halfRandom is n bytes in which random and repeated blocks take turns.
func halfRandom(n int) string {
	source := rand.NewChaCha8([32]byte{1})
	data := make([]byte, n)
	for i := 0; i < n; i += 8192 {
		source.Read(data[i:min(i+4096, n)])
	}
	return string(data)
}
