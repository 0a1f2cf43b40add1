package enginetest

import (
	"archive/tar"
	"compress/flate"
	"io"
	"runtime"
	"testing"

	"github.com/opencontainers/go-digest"
)

func TestContentIsAWholeTarOfItsSize(t *testing.T) {
	for _, size := range []int64{0, 1, 2048, 2049, 2560, 3072, 5000, 100_000, 3 << 20, 20_000_001} {
		l := Content(7, size)
		want := max(roundUp(size), 2048)
		if got := l.Size(); got != want {
			t.Errorf("size of Content(7, %d) = %d, want %d", size, got, want)
		}
		r := l.Open()
		defer r.Close()
		for tr := tar.NewReader(r); ; {
			_, err := tr.Next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("reading Content(7, %d): %v", size, err)
			}
		}
	}
}

func TestContentDependsOnItsSeedAlone(t *testing.T) {
	ids := map[digest.Digest]bool{}
	for seed := range uint64(20) {
		l := Content(seed, 50_000)
		again := digest.Canonical.Digester()
		if _, err := l.WriteTo(again.Hash()); err != nil {
			t.Fatal(err)
		}
		if l.DiffID() != again.Digest() {
			t.Errorf("Content(%d) gave %s, then %s", seed, l.DiffID(), again.Digest())
		}
		ids[l.DiffID()] = true
	}
	if len(ids) != 20 {
		t.Errorf("20 seeds gave %d layers", len(ids))
	}
}

func TestKindsCompressAsDocumented(t *testing.T) {
	// flate at its default level does a little better or worse than zstd.
	for i, want := range []struct{ min, max float64 }{{3.5, 5}, {2, 3}, {0.95, 1.05}} {
		rng, p := newRandom(7), make([]byte, chunk)
		var n counter
		n.w = io.Discard
		z, err := flate.NewWriter(&n, flate.DefaultCompression)
		if err != nil {
			t.Fatal(err)
		}
		for range 8 {
			kinds[i].fill(rng, p)
			if _, err := z.Write(p); err != nil {
				t.Fatal(err)
			}
		}
		if err := z.Close(); err != nil {
			t.Fatal(err)
		}
		if got := 8 * chunk / float64(n.size); got < want.min || got > want.max {
			t.Errorf("%s compresses %.2f times, want %.2f to %.2f", kinds[i].name, got, want.min, want.max)
		}
	}
}

func TestLargeLayerIsFlatInMemory(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, err := Content(8, 64<<20).WriteTo(io.Discard); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 4<<20 {
		t.Errorf("a layer of 64 MiB took %d bytes of memory", got)
	}
}

func TestFamiliesShareTheirBase(t *testing.T) {
	families := map[string]func(int, float64) []Image{"Family": Family, "BuildHost": BuildHost}
	for name, family := range families {
		for _, n := range []int{0, 1, 10} {
			images := family(n, 1)
			if len(images) != n {
				t.Fatalf("%s(%d) has %d images", name, n, len(images))
			}
			top := map[string]bool{}
			for _, img := range images {
				for i, layer := range img.Layers[:3] {
					if layer.key != images[0].Layers[i].key {
						t.Errorf("%s has a base of its own", img.Names[0])
					}
				}
				top[img.Layers[len(img.Layers)-1].key] = true
			}
			if len(top) != n {
				t.Errorf("%s(%d) has %d top layers", name, n, len(top))
			}
		}
	}
}

func BenchmarkContent(b *testing.B) {
	l := Content(3, 256<<20)
	b.SetBytes(256 << 20)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := l.WriteTo(io.Discard); err != nil {
			b.Fatal(err)
		}
	}
}
