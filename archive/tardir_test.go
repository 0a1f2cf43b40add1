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

// TestEveryByteOfATarballCounts flips bits all over one: the image is never
// vouched for, its record is not gone in silence, and the image beside it is
// unharmed.
func TestEveryByteOfATarballCounts(t *testing.T) {
	base := layerTar(t, "base")
	bad := newStoreImage(t, newTestImage(t, "bad:1", base, layerTar(t, "bad")), true)
	good := newTestImage(t, "good:1", layerTar(t, "base"), layerTar(t, "good"))
	f := newTarballs(t)
	b := mustIngest(t, f, containerdSave(t, bad), containerdInfo, bad.Image)[0]
	g := mustIngest(t, f, classicSave(t, good), classicInfo, good.Image)[0]
	file := fileOf(t, f, b)
	whole := mustRead(t, file)
	ctx := context.Background()
	for i := 0; i < len(whole); i += 1 + i%47 {
		damaged := bytes.Clone(whole)
		damaged[i] ^= 1 << (i % 8)
		mustWrite(t, file, damaged)
		fresh := openAgain(t, f)
		c := catalogOf(t, fresh)
		if len(c.Records)+len(c.Bad) != 2 {
			t.Fatalf("byte %d: a record is gone in silence: %v and the bad %v", i, c.Records, c.Bad)
		}
		receipt, err := fresh.Verify(ctx, b, bad.Image, engine.Containerd)
		if err == nil || receipt.Proves(bad.Image, engine.Containerd) == nil {
			t.Fatalf("byte %d: the image was vouched for", i)
		}
		if err := fresh.Check(ctx, g, nil); err != nil {
			t.Fatalf("byte %d: the other image: %v", i, err)
		}
	}
	mustWrite(t, file, whole)
	if err := openAgain(t, f).Check(ctx, b, nil); err != nil {
		t.Errorf("after all was put right again: %v", err)
	}
}

// TestSharedLayerSurvivesInTheOtherFile: what is damaged in one file is read
// from another that has it.
func TestSharedLayerSurvivesInTheOtherFile(t *testing.T) {
	plain, _, _ := tarballImages(t)
	more := newTestImage(t, "demo-api:2", plain.Layers[0], layerTar(t, "two"))
	f := newTarballs(t)
	records := mustIngest(t, f, classicSave(t, plain, more), classicInfo, plain.Image, more.Image)
	ctx := context.Background()
	for i, r := range records {
		file := fileOf(t, f, r)
		whole := mustRead(t, file)
		damaged := bytes.Clone(whole)
		damaged[len(damaged)/2] ^= 1 // in the shared layer, which is most of the file
		mustWrite(t, file, damaged)
		fresh := openAgain(t, f)
		var found *archive.DamageError
		shared := r.Contents[0].Layers[0].Stored.Digest
		if err := fresh.Check(ctx, r, nil); !errors.As(err, &found) || found.Blobs[0].Digest != shared || len(found.Blobs) != 1 {
			t.Errorf("Check = %v, want the damage of %s", err, shared)
		}
		if err := fresh.Check(ctx, records[1-i], nil); err != nil {
			t.Errorf("the other one: %v", err)
		}
		for _, r := range records {
			load, err := openAgain(t, f).Load(ctx, r, engine.Classic, nil)
			if err == nil {
				err = load.Write(ctx, &bytes.Buffer{}, nil)
			}
			if err != nil {
				t.Errorf("%v is not given out: %v", r.References, err)
			}
		}
		mustWrite(t, file, whole)
	}
}

// TestDamagedTarballIsNoSource: what a save finds to be bad it takes from the
// engine again.
func TestDamagedTarballIsNoSource(t *testing.T) {
	plain, _, _ := tarballImages(t)
	more := newTestImage(t, "demo-api:2", plain.Layers[0], layerTar(t, "two"))
	f := newTarballs(t)
	r := mustIngest(t, f, classicSave(t, plain), classicInfo, plain.Image)[0]
	damages["one bit flipped"](t, fileOf(t, f, r))
	fresh := openAgain(t, f)
	next := mustIngest(t, fresh, classicSave(t, more), classicInfo, more.Image)[0]
	if _, err := fresh.Verify(context.Background(), next, more.Image, engine.Classic); err != nil {
		t.Error(err)
	}
}

func TestForgottenTarballIsGone(t *testing.T) {
	plain, _, _ := tarballImages(t)
	f := newTarballs(t)
	r := mustIngest(t, f, classicSave(t, plain), classicInfo, plain.Image)[0]
	file := fileOf(t, f, r)
	damaged := filepath.Join(dirOf(f), "old_20260101T000000.000Z-0123456789ab-0123456789abcdef0123.tar.zst")
	mustWrite(t, damaged, []byte("cut short"))
	mustWrite(t, filepath.Join(dirOf(f), "foreign.tar.zst"), []byte("somebody else's"))
	c := catalogOf(t, openAgain(t, f))
	if len(c.Records) != 1 || len(c.Bad) != 1 || !strings.Contains(c.Bad[0].Err.Error(), filepath.Base(damaged)) {
		t.Errorf("catalog has %d records and the bad %v", len(c.Records), c.Bad)
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := f.Check(context.Background(), r, nil); err == nil {
		t.Error("an image without a file was vouched for")
	}
	if c := catalogOf(t, openAgain(t, f)); len(c.Records) != 0 {
		t.Errorf("catalog has %d records", len(c.Records))
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

// TestTarballProvenOnceIsReadAgain when it is not the file that was read.
func TestTarballProvenOnceIsReadAgain(t *testing.T) {
	plain, _, _ := tarballImages(t)
	f := newTarballs(t)
	r := mustIngest(t, f, classicSave(t, plain), classicInfo, plain.Image)[0]
	if _, err := f.Verify(context.Background(), r, plain.Image, engine.Classic); err != nil {
		t.Fatal(err)
	}
	damages["one bit flipped"](t, fileOf(t, f, r))
	receipt, err := f.Verify(context.Background(), r, plain.Image, engine.Classic)
	var damaged *archive.DamageError
	if !errors.As(err, &damaged) || receipt.Proves(plain.Image, engine.Classic) == nil {
		t.Errorf("Verify = %v, want damage", err)
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

func TestTarballsForTheGroup(t *testing.T) {
	plain, _, zipped := tarballImages(t)
	dir := filepath.Join(t.TempDir(), "archive")
	mustIngest(t, tarballsAt(t, dir), classicSave(t, plain), classicInfo, plain.Image)
	foreign := filepath.Join(dir, "notes.txt")
	mustWrite(t, foreign, []byte("not ours"))
	f, err := archive.CreateTarballs(dir, archive.Options{GroupReadable: true})
	if err != nil {
		t.Fatal(err)
	}
	mustIngest(t, f, containerdSave(t, zipped), containerdInfo, zipped.Image)
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		info, statErr := os.Stat(path)
		if err != nil || statErr != nil {
			return errors.Join(err, statErr)
		}
		want := os.FileMode(0o640)
		switch {
		case d.IsDir():
			want = 0o750
		case path == foreign:
			want = 0o600
		}
		if info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v", path, info.Mode().Perm(), want)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestFolderForTheGroup: what is added later has the folder's group, whoever
// adds it.
func TestFolderForTheGroup(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "archive")
	f, err := archive.CreateFolder(dir, archive.Options{GroupReadable: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	err = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode() != os.ModeDir|os.ModeSetgid|0o750 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestRemovedTarballCanBePutBack until its storage is closed, as it must be
// where somebody wants the record after all; and after a crash.
func TestRemovedTarballCanBePutBack(t *testing.T) {
	plain, _, _ := tarballImages(t)
	ctx := context.Background()
	for _, what := range []string{"closed", "written again", "killed"} {
		t.Run(what, func(t *testing.T) {
			f := newTarballs(t)
			store := archive.StorageOf(f)
			r := mustIngest(t, f, classicSave(t, plain), classicInfo, plain.Image)[0]
			data, signature, err := store.ReadRecord(ctx, r.Name())
			if err != nil {
				t.Fatal(err)
			}
			if err := store.RemoveRecord(ctx, r); err != nil {
				t.Fatal(err)
			}
			if c := catalogOf(t, openAgain(t, f)); len(c.Records)+len(c.Bad) != 0 {
				t.Errorf("the catalog still has %v and %v", c.Records, c.Bad)
			}
			want := 1
			switch what {
			case "closed":
				want = 0
			case "written again":
				if !f.Holds(ctx, r) {
					t.Error("its blobs are gone already")
				}
				if err := errors.Join(store.WriteRecords(ctx, []archive.Entry{{Record: r, Data: data, Signature: signature}})...); err != nil {
					t.Fatal(err)
				}
			case "killed":
				sessions, err := filepath.Glob(filepath.Join(dirOf(f), ".archprune/tmp/*"))
				if err != nil || len(sessions) != 1 {
					t.Fatalf("sessions %v, %v", sessions, err)
				}
				dead := filepath.Join(filepath.Dir(sessions[0]), archive.DeadRun(t)) // so that Close does not find it
				if err := os.Rename(sessions[0], dead); err != nil {
					t.Fatal(err)
				}
				next := openAgain(t, f)
				if err := errors.Join(next.Prepare(ctx), next.Close()); err != nil {
					t.Fatal(err)
				}
			}
			if err := f.Close(); err != nil && what != "killed" {
				t.Error(err)
			}
			fresh := openAgain(t, f)
			if c := catalogOf(t, fresh); len(c.Records) != want {
				t.Errorf("there are %d records, want %d", len(c.Records), want)
			}
			if want == 1 {
				if err := fresh.Check(ctx, r, nil); err != nil {
					t.Error(err)
				}
			}
			checkTidyTarballs(t, fresh)
		})
	}
}

// TestHostileTarballs: what a file says of itself leads nowhere else.
func TestHostileTarballs(t *testing.T) {
	plain, _, _ := tarballImages(t)
	f := newTarballs(t)
	r := mustIngest(t, f, classicSave(t, plain), classicInfo, plain.Image)[0]
	file := fileOf(t, f, r)
	whole := mustRead(t, file)
	outside := strings.Repeat("../", 5) + r.Name()[:len(r.Name())-15]
	for name, change := range map[string]func(index []byte) []byte{
		"a record's name with a path": func(b []byte) []byte {
			return bytes.Replace(b, []byte(`"name":"`+r.Name()), []byte(`"name":"`+outside), 1)
		},
		"a blob before the file": func(b []byte) []byte { return bytes.Replace(b, []byte(`"offset":`), []byte(`"offset":-`), 1) },
		"a blob past the end":    func(b []byte) []byte { return bytes.Replace(b, []byte(`"length":`), []byte(`"length":99999`), 1) },
		"a size that overflows": func(b []byte) []byte {
			return bytes.Replace(b, []byte(`"offset":`), []byte(`"offset":9223372036854770`), 1)
		},
		"a digest that is a path": func(b []byte) []byte { return bytes.Replace(b, []byte(`"sha256:`), []byte(`"../../:`), 1) },
		"no JSON":                 func(b []byte) []byte { return b[:len(b)/2] },
	} {
		t.Run(name, func(t *testing.T) {
			mustWrite(t, file, archive.ReindexTarball(t, whole, change))
			c := catalogOf(t, openAgain(t, f))
			if len(c.Records) != 0 || len(c.Bad) != 1 || c.Bad[0].Name != r.Name() {
				t.Errorf("the catalog has %d records and the bad %v", len(c.Records), c.Bad)
			}
		})
	}
	mustWrite(t, file, archive.ReindexTarball(t, whole, bytes.Clone))
	if err := openAgain(t, f).Check(context.Background(), r, nil); err != nil {
		t.Errorf("with the same index: %v", err)
	}
}
