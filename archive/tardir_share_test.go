package archive_test

import (
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// TestTarballsShareLayers where the file system can: on the folder that
// ARCHPRUNE_TEST_REFLINK names, which is on Btrfs or XFS, two images of one large
// layer take little more space than one. scripts/reflink.sh makes such a folder.
func TestTarballsShareLayers(t *testing.T) {
	root := os.Getenv("ARCHPRUNE_TEST_REFLINK")
	if root == "" {
		t.Skip("ARCHPRUNE_TEST_REFLINK names no folder of Btrfs or XFS: `scripts/reflink.sh go test ./archive -run ShareLayers` has one made")
	}
	dir, err := os.MkdirTemp(root, "tarballs")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	const large = 64 << 20
	base := noise(t, 1, large)
	f := tarballsAt(t, filepath.Join(dir, "archive"))
	var used []int64
	for _, name := range []string{"demo-api:1", "demo-api:2", "demo-api:3"} {
		img := newTestImage(t, name, base, layerTar(t, name))
		before := freeSpace(t, dir)
		r := mustIngest(t, f, classicSave(t, img), classicInfo, img.Image)[0]
		used = append(used, before-freeSpace(t, dir))
		if err := openAgain(t, f).Check(t.Context(), r, nil); err != nil {
			t.Error(err)
		}
	}
	t.Logf("images of a layer of %d bytes took %d bytes of the disk", large, used)
	for i, bytes := range used {
		if i == 0 && bytes < large || i > 0 && bytes > large/8 {
			t.Errorf("image %d took %d bytes", i+1, bytes)
		}
	}
}

func freeSpace(t testing.TB, dir string) int64 {
	t.Helper()
	syscall.Sync()
	var s syscall.Statfs_t
	if err := syscall.Statfs(dir, &s); err != nil {
		t.Fatal(err)
	}
	return int64(s.Bavail) * int64(s.Bsize)
}
