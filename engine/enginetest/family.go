package enginetest

import "fmt"

// megabyte is what sizes of images are told in.
const megabyte = 1_000_000

// Family returns n releases of one application, demo-api:2.0 and up, for
// benchmarks: of 457 to 524 MB each, with layers of 340, 99 and 15 MB that all
// share and one layer of its own each, from 3 to 70 MB in even steps. A scale
// below 1 makes all of them smaller.
func Family(n int, scale float64) []Image {
	base := []Layer{
		Content(1, size(340, scale)),
		Content(2, size(99, scale)),
		Content(3, size(15, scale)),
	}
	var images []Image
	for i := range n {
		own := 3.0
		if n > 1 {
			own += float64(i) * 67 / float64(n-1)
		}
		images = append(images, Image{
			Names:  []string{fmt.Sprintf("demo-api:2.%d", i)},
			Layers: append(base[:len(base):len(base)], Content(uint64(100+i), size(own, scale))),
			Cmd:    []string{"/opt/app"},
		})
	}
	return images
}

// RegistryBase is what a registry offers to build on: 75, 150 and 60 MB,
// compressed with gzip.
func RegistryBase(scale float64) Image {
	image := Image{Names: []string{"runtime:12"}}
	for i, megabytes := range []float64{75, 150, 60} {
		image.Layers = append(image.Layers, Content(uint64(11+i), size(megabytes, scale)).Gzipped())
	}
	return image
}

// BuildHost returns n releases of one application, demo-web:1 and up, as a
// build host has them: on a [RegistryBase], each with dependencies of 40 MB
// that change with every tenth release, its own program of 10 MB, and a small
// file. All layers are sent compressed, as builders leave them.
func BuildHost(n int, scale float64) []Image {
	base := RegistryBase(scale)
	var images []Image
	for i := range n {
		own := []Layer{
			Content(uint64(200+i/10), size(40, scale)).Gzipped(),
			Content(uint64(300+i), size(10, scale)).Gzipped(),
			Content(uint64(400+i), 20_000).Gzipped(),
		}
		images = append(images, Image{
			Names:  []string{fmt.Sprintf("demo-web:%d", i+1)},
			Layers: append(base.Layers[:len(base.Layers):len(base.Layers)], own...),
			Cmd:    []string{"/opt/web"},
		})
	}
	return images
}

func size(megabytes, scale float64) int64 { return int64(megabytes * megabyte * scale) }
