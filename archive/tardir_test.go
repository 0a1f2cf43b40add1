package archive_test

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
)

func newTarballs(t testing.TB) *archive.Archive {
	t.Helper()
	return tarballsAt(t, filepath.Join(t.TempDir(), "archive"))
}

func tarballsAt(t testing.TB, dir string) *archive.Archive {
	t.Helper()
	f, err := archive.CreateTarballs(dir, archive.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return f
}

func dirOf(f *archive.Archive) string { return strings.TrimPrefix(f.Location(), "tar:") }

// openAgain is the archive as another process sees it.
func openAgain(t testing.TB, f *archive.Archive) *archive.Archive {
	t.Helper()
	again, err := archive.OpenTarballs(dirOf(f), archive.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { again.Close() })
	return again
}

func fileOf(t testing.TB, f *archive.Archive, r *archive.Record) string {
	t.Helper()
	file, ok := f.File(context.Background(), r)
	if !ok {
		t.Fatalf("record %s has no file", r.Name())
	}
	return file
}

// noise is a layer of that many bytes, which do not compress.
func noise(t testing.TB, seed uint64, size int) []byte {
	t.Helper()
	data := make([]byte, size)
	rand.NewChaCha8([32]byte{byte(seed), byte(seed >> 8)}).Read(data)
	return layerTar(t, string(data))
}

// tarballImages are an image of each kind of store, with large and small
// layers, one of which they share.
func tarballImages(t testing.TB) (plain testImage, stored, zipped storeImage) {
	base := noise(t, 1, 300_000)
	plain = newTestImage(t, "demo-api:1", base, layerTar(t, "one"))
	stored = newStoreImage(t, newTestImage(t, "ghcr.io/team/demo:2", base, noise(t, 2, 90_000)), false)
	zipped = newStoreImage(t, newTestImage(t, "localhost:5000/zipped:3", base, layerTar(t, "three")), true)
	return plain, stored, zipped
}

// TestTarballIsTheLoadTar as the zstd program has it, for every kind of image,
// and comes back by an import.
func TestTarballIsTheLoadTar(t *testing.T) {
	plain, stored, zipped := tarballImages(t)
	f := newTarballs(t)
	records := []*archive.Record{
		mustIngest(t, f, classicSave(t, plain), classicInfo, plain.Image)[0],
		mustIngest(t, f, containerdSave(t, stored), containerdInfo, stored.Image)[0],
		mustIngest(t, f, containerdSave(t, zipped), containerdInfo, zipped.Image)[0],
	}
	fresh := openAgain(t, f)
	for i, img := range []engine.Image{plain.Image, stored.Image, zipped.Image} {
		r := records[i]
		receipt, err := fresh.Verify(context.Background(), r, img, r.Store)
		if err != nil {
			t.Fatal(err)
		}
		if err := receipt.Proves(img, r.Store); err != nil {
			t.Error(err)
		}
		load, err := fresh.Load(context.Background(), r, r.Store, nil)
		if err != nil {
			t.Fatal(err)
		}
		load.Names = r.References
		var want bytes.Buffer
		if err := load.Write(context.Background(), &want, nil); err != nil {
			t.Fatal(err)
		}
		file := fileOf(t, fresh, r)
		if got := zstdProgram(t, file); !bytes.Equal(got, want.Bytes()) {
			t.Errorf("zstd -dc %s gives %d bytes, want the %d of a load", filepath.Base(file), len(got), want.Len())
		}
		back := mustImport(t, newFolder(t), mustRead(t, file))[0]
		if back.ConfigDigest() != r.ConfigDigest() || !slices.Equal(back.References, r.References) {
			t.Errorf("imported: config %s named %v, want %s named %v", back.ConfigDigest(), back.References, r.ConfigDigest(), r.References)
		}
	}
}

func zstdProgram(t testing.TB, file string) []byte {
	t.Helper()
	cmd := exec.Command("zstd", "-dc", file)
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %v: %s", cmd, err, stderr.Bytes())
	}
	return out.Bytes()
}

func TestTarballsAreNamedForPeople(t *testing.T) {
	plain, stored, _ := tarballImages(t)
	f := newTarballs(t)
	a := mustIngest(t, f, classicSave(t, plain), classicInfo, plain.Image)[0]
	b := mustIngest(t, f, containerdSave(t, stored), containerdInfo, stored.Image)[0]
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(dirOf(f))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	want := []string{".archprune", "demo-api_1_" + a.Name() + ".tar.zst", "ghcr.io_team_demo_2_" + b.Name() + ".tar.zst"}
	if !slices.Equal(names, want) {
		t.Errorf("the folder has %q, want %q", names, want)
	}
}

func TestTarballsArePrivateAndTidy(t *testing.T) {
	plain, _, _ := tarballImages(t)
	f := newTarballs(t)
	mustIngest(t, f, classicSave(t, plain), classicInfo, plain.Image)
	err := filepath.Walk(dirOf(f), func(path string, info os.FileInfo, err error) error {
		if err == nil && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	checkTidyTarballs(t, f)
}

func checkTidyTarballs(t testing.TB, f *archive.Archive) {
	t.Helper()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	left, err := filepath.Glob(filepath.Join(dirOf(f), ".archprune/tmp/*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestTarballIsCarriedAway to a folder that is no archive, under another name.
func TestTarballIsCarriedAway(t *testing.T) {
	plain, _, zipped := tarballImages(t)
	f := newTarballs(t)
	r := mustIngest(t, f, containerdSave(t, zipped), containerdInfo, zipped.Image)[0]
	stick := t.TempDir()
	mustWrite(t, filepath.Join(stick, "notes.txt"), []byte("not ours"))
	if _, err := archive.OpenTarballs(stick, archive.Options{}); !errors.Is(err, archive.ErrNotArchive) {
		t.Errorf("a folder without tarballs: %v, want ErrNotArchive", err)
	}
	mustWrite(t, filepath.Join(stick, "release.zst"), mustRead(t, fileOf(t, f, r)))
	loose, err := archive.OpenTarballs(stick, archive.Options{})
	if err != nil {
		t.Fatal(err)
	}
	c := catalogOf(t, loose)
	if len(c.Records) != 1 || len(c.Bad) != 0 {
		t.Fatalf("it has %d records, %v", len(c.Records), c.Bad)
	}
	if err := loose.Check(context.Background(), c.Records[0], nil); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(stick, ".archprune")); err == nil {
		t.Error("reading it made an archive of it")
	}
	// Now it becomes an archive by being written to.
	made := tarballsAt(t, stick)
	mustIngest(t, made, classicSave(t, plain), classicInfo, plain.Image)
	if c := catalogOf(t, openAgain(t, made)); len(c.Records) != 2 {
		t.Errorf("it has %d records, want 2", len(c.Records))
	}
	checkTidyTarballs(t, made)
}

// TestRecordOutlivesTheFilesItWasMadeFrom: each file has all that it needs.
func TestRecordOutlivesTheFilesItWasMadeFrom(t *testing.T) {
	plain, _, _ := tarballImages(t)
	more := newTestImage(t, "demo-api:2", plain.Layers[0], layerTar(t, "two"))
	f := newTarballs(t)
	ctx := context.Background()
	first := mustIngest(t, f, classicSave(t, plain), classicInfo, plain.Image)[0]
	second := mustIngest(t, openAgain(t, f), classicSave(t, more), classicInfo, more.Image)[0]
	renamed := plain.Image
	renamed.References = []string{"demo-api:1", "demo-api:stable"}
	third, err := openAgain(t, f).Rename(ctx, first, renamed, classicInfo)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(fileOf(t, f, first)); err != nil {
		t.Fatal(err)
	}
	fresh := openAgain(t, f)
	if c := catalogOf(t, fresh); len(c.Records) != 2 {
		t.Errorf("there are %d records, want 2", len(c.Records))
	}
	for r, img := range map[*archive.Record]engine.Image{second: more.Image, third: renamed} {
		if _, err := fresh.Verify(ctx, r, img, engine.Classic); err != nil {
			t.Errorf("%v: %v", r.References, err)
		}
	}
	if second.Sizes.Added != second.Sizes.Stored {
		t.Errorf("it added %d bytes to the archive, want all of its %d", second.Sizes.Added, second.Sizes.Stored)
	}
}

func TestKindsOfArchivesAreToldApart(t *testing.T) {
	tarballs, folder := newTarballs(t), newFolder(t)
	_, err := archive.OpenFolder(dirOf(tarballs), archive.Options{})
	if !errors.Is(err, archive.ErrNotArchive) || !strings.Contains(err.Error(), tarballs.Location()) {
		t.Errorf("OpenFolder of tarballs = %v, want ErrNotArchive and the name to use", err)
	}
	_, err = archive.CreateTarballs(folder.Location(), archive.Options{})
	if !errors.Is(err, archive.ErrNotArchive) || !strings.HasSuffix(err.Error(), " "+folder.Location()) {
		t.Errorf("CreateTarballs in a folder = %v, want ErrNotArchive and the name to use", err)
	}
}

// TestPackedBlobsOfEverySize go into frames of raw blocks and come out again.
func TestPackedBlobsOfEverySize(t *testing.T) {
	const block = 128 << 10
	for _, size := range []int{0, 1, block - 2000, block, 3*block + 1} {
		img := newStoreImage(t, newTestImage(t, "demo-api:1", noise(t, 1, size)), true)
		f := newTarballs(t)
		r := mustIngest(t, f, containerdSave(t, img), containerdInfo, img.Image)[0]
		tarball := fileOf(t, f, r)
		back := mustImport(t, newFolder(t), zstdProgram(t, tarball))[0]
		if back.ImageID != img.ID {
			t.Errorf("%d bytes: %s came back as %s", size, img.ID, back.ImageID)
		}
		info, err := os.Stat(tarball)
		if err != nil {
			t.Fatal(err)
		}
		if more := info.Size() - r.Sizes.Stored; more > 16<<10 {
			t.Errorf("%d bytes: the file has %d bytes more than its blobs", size, more)
		}
	}
}
