package enginetest

import (
	"archive/tar"
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"
)

const (
	block    = 512 // what tar counts in
	trailer  = 2 * block
	perDir   = 32        // files in one folder
	chunk    = 64 << 10  // what is made and written at a time
	smallest = 2 * block // content of the smallest file
)

// Content is a layer whose tar takes size bytes, rounded up to the next
// multiple of 512 and to 2048 at least. The same seed and size give the same
// bytes; layers of different seeds share no file.
//
// It is shaped like the layer of an application: folders of small text files
// (1 to 256 KiB), binaries (4 KiB to 16 MiB) and files that are compressed
// already (1 KiB to 8 MiB), which take about a third of the bytes each. Text
// is words by Zipf's law with phrases that recur, and compresses about 4 times;
// binaries are code-like records from a limited set with operands between
// them, and compress about 2.5 times; the compressed files do not compress.
// A whole layer of some size compresses about 1.8 times (all by zstd
// level 3). One core makes some 500 MB/s.
func Content(seed uint64, size int64) Layer {
	size = max(roundUp(size), 2048)
	return Layer{
		key:   fmt.Sprintf("content %d %d", seed, size),
		about: fmt.Sprintf("COPY content %d", seed),
		write: func(tw *tar.Writer) error { return writeContent(tw, seed, size) },
	}
}

// kind is a kind of file in a content layer.
type kind struct {
	name     string
	min, max int64 // sizes, spread evenly on a logarithmic scale
	fill     func(*random, []byte)
}

var kinds = [...]kind{
	{"lib/module%d/file%d.js", smallest, 256 << 10, fillText},
	{"bin/part%d/tool%d.so", 4 << 10, 16 << 20, fillBinary},
	{"share/asset%d/image%d.webp", smallest, 8 << 20, fillRandom},
}

func writeContent(tw *tar.Writer, seed uint64, size int64) error {
	rng := newRandom(seed)
	buf := make([]byte, chunk)
	var made [len(kinds)]int64 // bytes of each kind
	var files [len(kinds)]int  // files of each kind
	left := size - trailer
	for left >= 2*block {
		k := 0
		for i := range made {
			if made[i] < made[k] {
				k = i
			}
		}
		// No file takes much of a small layer, so that it has all kinds too.
		n := min(kinds[k].size(rng), max(size/16, smallest))
		if rest := left - block - roundUp(n); rest < block+smallest {
			n = left - block
		}
		name := fmt.Sprintf("opt/app%d/"+kinds[k].name, seed, files[k]/perDir, files[k])
		if err := tw.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: n, ModTime: fileTime}); err != nil {
			return err
		}
		for done := int64(0); done < n; {
			part := buf[:min(n-done, chunk)]
			kinds[k].fill(rng, part)
			if _, err := tw.Write(part); err != nil {
				return err
			}
			done += int64(len(part))
		}
		files[k]++
		made[k] += n
		left -= block + roundUp(n)
	}
	return nil
}

func (k kind) size(rng *random) int64 {
	spread := math.Log(float64(k.max) / float64(k.min))
	fraction := float64(rng.next()>>11) / (1 << 53)
	return int64(float64(k.min) * math.Exp(spread*fraction))
}

func roundUp(n int64) int64 { return (n + block - 1) / block * block }

// random is a small and very fast generator (splitmix64).
type random struct{ state uint64 }

func newRandom(seed uint64) *random {
	r := &random{state: seed}
	r.state = r.next() ^ 0x6172636870727565
	return r
}

func (r *random) next() uint64 {
	r.state += 0x9e3779b97f4a7c15
	z := r.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

func fillRandom(rng *random, p []byte) {
	for len(p) >= 8 {
		binary.LittleEndian.PutUint64(p, rng.next())
		p = p[8:]
	}
	for i := range p {
		p[i] = byte(rng.next())
	}
}

// drawBits is how many bits choose one entry of a table.
const drawBits = 12

// table holds entries as often as they shall be drawn.
type table [1 << drawBits][]byte

// zipf spreads the entries over a table by Zipf's law.
func zipf(entries [][]byte) *table {
	var sum float64
	for i := range entries {
		sum += 1 / float64(i+2)
	}
	t := new(table)
	var reached float64
	next := 0
	for i, entry := range entries {
		reached += 1 / float64(i+2) / sum
		for ; next < int(reached*float64(len(t))+0.5) && next < len(t); next++ {
			t[next] = entry
		}
	}
	for ; next < len(t); next++ {
		t[next] = entries[0]
	}
	return t
}

var words = func() *table {
	rng := newRandom(1)
	syllables := []string{"re", "con", "ta", "ner", "li", "im", "age", "par", "se", "val", "get", "set", "ion", "er", "mo", "du", "le", "x", "fn", "ex", "port", "de", "fault", "un"}
	endings := []string{" ", " ", " ", " ", " ", ", ", ".", "(", ");\n", " = ", "\n  ", ": "}
	var list [][]byte
	for range 2500 {
		var word []byte
		for range 1 + rng.next()%4 {
			word = append(word, syllables[rng.next()%uint64(len(syllables))]...)
		}
		list = append(list, append(word, endings[rng.next()%uint64(len(endings))]...))
	}
	return zipf(list)
}()

var records = func() *table {
	rng := newRandom(2)
	var list [][]byte
	for range 900 {
		record := make([]byte, 3+rng.next()%8)
		fillRandom(rng, record)
		if rng.next()%4 == 0 {
			clear(record[len(record)/2:])
		}
		list = append(list, record)
	}
	return zipf(list)
}()

func fillText(rng *random, p []byte)   { fill(rng, p, words, 8, 0) }
func fillBinary(rng *random, p []byte) { fill(rng, p, records, 1, 1) }

// fill fills p with entries of a table. Of 256 draws, repeats go back for
// something that was there before, and operands random bytes follow each entry.
func fill(rng *random, p []byte, t *table, repeats uint64, operands int) {
	for at := 0; at < len(p); {
		draw := rng.next()
		if draw&0xff < repeats && at > 256 {
			hi, _ := bits.Mul64(rng.next(), uint64(at-256))
			at += copy(p[at:], p[hi:hi+32+draw>>8&0x7f])
			continue
		}
		draw >>= 8
		for range 4 {
			at += copy(p[at:], t[draw%(1<<drawBits)])
			draw >>= drawBits
			for i := 0; i < operands && at < len(p); i++ {
				p[at] = byte(draw)
				at++
			}
		}
	}
}
