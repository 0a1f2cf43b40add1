package enginetest

import "fmt"

// megabyte is what sizes of images are told in.
const megabyte = 1_000_000

// Family returns n releases of one application, demo-api:2.0 and up, for
// benchmarks: of 457 to 524 MB each, with layers of 340, 99 and 15 MB that all
// share and one layer of its own each, from 3 to 70 MB in even steps.
func Family(n int) []Image {
	base := []Layer{
		Content(1, 340*megabyte),
		Content(2, 99*megabyte),
		Content(3, 15*megabyte),
	}
	var images []Image
	for i := range n {
		own := int64(3 * megabyte)
		if n > 1 {
			own += int64(i) * 67 * megabyte / int64(n-1)
		}
		images = append(images, Image{
			Names:  []string{fmt.Sprintf("demo-api:2.%d", i)},
			Layers: append(base[:len(base):len(base)], Content(uint64(100+i), own)),
			Cmd:    []string{"/opt/app"},
		})
	}
	return images
}
