package archive_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/archive/signing"
	"github.com/archprune/archprune/engine"
)

// newKey makes a key pair; the private half is a file, the public one the same
// with .pub.
func newKey(t testing.TB, comment string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", path).CombinedOutput()
	if err != nil {
		t.Fatalf("this test needs ssh-keygen (scripts/engine.sh host gets it): %v\n%s", err, out)
	}
	return path
}

// signWith and trusting are what --sign-key and --trust-key say.
func signWith(t testing.TB, key string) archive.Options {
	t.Helper()
	s, err := signing.NewSigner(key, signing.SignerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return archive.Options{Sign: s.Sign}
}

func trusting(t testing.TB, keys ...string) archive.Options {
	t.Helper()
	for i := range keys {
		keys[i] += ".pub"
	}
	trust, err := signing.NewTrust(keys...)
	if err != nil {
		t.Fatal(err)
	}
	return archive.Options{Trust: trust.Check}
}

// as is the archive as another process sees it, with other keys.
func as(t testing.TB, f *archive.Archive, opts archive.Options) *archive.Archive {
	t.Helper()
	again, err := archive.OpenFolder(f.Location(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { again.Close() })
	return again
}

// signedArchive holds demo-api:1 and demo-api:2, signed.
type signedArchive struct {
	*archive.Archive
	key, other string
	one, two   *archive.Record
}

func newSignedArchive(t testing.TB) signedArchive {
	s := signedArchive{Archive: newFolder(t), key: newKey(t, "ops@example.com"), other: newKey(t, "mallory")}
	one, two := newTestImage(t, "demo-api:1", layerTar(t, "one")), newTestImage(t, "demo-api:2", layerTar(t, "two"))
	records := mustIngest(t, as(t, s.Archive, signWith(t, s.key)), classicSave(t, one, two), classicInfo, one.Image, two.Image)
	s.one, s.two = records[0], records[1]
	return s
}

func (s signedArchive) path(name string) string {
	return filepath.Join(s.Location(), "archprune/records", name+".json")
}

// edited is a record that says something else, as encode would write it: its
// name fits its content.
func edited(t testing.TB, data []byte, name string) (newData []byte, newName string) {
	t.Helper()
	newData = bytes.Replace(data, []byte(`"demo-api:1"`), []byte(`"demo-api:9"`), 1)
	if bytes.Equal(newData, data) {
		t.Fatalf("the record does not name demo-api:1:\n%s", data)
	}
	parts := strings.Split(name, "-")
	return newData, strings.Join([]string{parts[0], parts[1], digest.FromBytes(newData).Encoded()[:16] + "0000"}, "-")
}

// TestForgeries are what somebody who can write to the archive may do to
// demo-api:1. demo-api:2 must stay good in each case. A record that can't be
// read is listed as bad, but nothing tells which image it was.
func TestForgeries(t *testing.T) {
	tests := map[string]struct {
		forge func(t *testing.T, s signedArchive)
		name  string // that is looked up; demo-api:1 where empty
		want  error
	}{
		"content changed": {forge: func(t *testing.T, s signedArchive) {
			damages["one bit flipped"](t, s.path(s.one.Name()))
		}, want: archive.ErrNotFound},
		"record edited, with its name": {forge: func(t *testing.T, s signedArchive) {
			data, name := edited(t, mustRead(t, s.path(s.one.Name())), s.one.Name())
			mustWrite(t, s.path(name), data)
			mustWrite(t, s.path(name)+".sig", mustRead(t, s.path(s.one.Name())+".sig"))
		}, name: "demo-api:9", want: signing.ErrForged},
		"signature of another record": {forge: func(t *testing.T, s signedArchive) {
			mustWrite(t, s.path(s.one.Name())+".sig", mustRead(t, s.path(s.two.Name())+".sig"))
		}, want: signing.ErrForged},
		"signed with another key": {forge: func(t *testing.T, s signedArchive) {
			signature, err := signWith(t, s.other).Sign(mustRead(t, s.path(s.one.Name())))
			if err != nil {
				t.Fatal(err)
			}
			mustWrite(t, s.path(s.one.Name())+".sig", signature)
		}, want: signing.ErrUntrusted},
		"record of their own, signed with another key": {forge: func(t *testing.T, s signedArchive) {
			img := newTestImage(t, "demo-api:9", layerTar(t, "evil"))
			mustIngest(t, as(t, s.Archive, signWith(t, s.other)), classicSave(t, img), classicInfo, img.Image)
		}, name: "demo-api:9", want: signing.ErrUntrusted},
		"newer record of their own": {forge: func(t *testing.T, s signedArchive) {
			time.Sleep(2 * time.Millisecond) // records are told apart by the millisecond
			img := newTestImage(t, "demo-api:1", layerTar(t, "evil"))
			mustIngest(t, reopen(t, s.Archive), classicSave(t, img), classicInfo, img.Image)
		}, want: signing.ErrUnsigned},
		"signature removed": {forge: func(t *testing.T, s signedArchive) {
			damages["missing"](t, s.path(s.one.Name())+".sig")
		}, want: signing.ErrUnsigned},
		"signature emptied": {forge: func(t *testing.T, s signedArchive) {
			mustWrite(t, s.path(s.one.Name())+".sig", nil)
		}, want: signing.ErrUnsigned},
		"renamed to look newer": {forge: func(t *testing.T, s signedArchive) {
			_, rest, _ := strings.Cut(s.one.Name(), "-")
			moveRecord(t, s, "20991231T235959.000Z-"+rest)
		}, want: archive.ErrNotFound},
		"renamed to look like another image": {forge: func(t *testing.T, s signedArchive) {
			parts := strings.Split(s.one.Name(), "-")
			moveRecord(t, s, parts[0]+"-"+s.two.ImageID.Encoded()[:12]+"-"+parts[2])
		}, want: archive.ErrNotFound},
		"under the name of another record": {forge: func(t *testing.T, s signedArchive) {
			data := mustRead(t, s.path(s.two.Name()))
			mustWrite(t, s.path(s.one.Name()), data)
			mustWrite(t, s.path(s.one.Name())+".sig", mustRead(t, s.path(s.two.Name())+".sig"))
		}, want: archive.ErrNotFound},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			s := newSignedArchive(t)
			tt.forge(t, s)
			wanted := "demo-api:1"
			if tt.name != "" {
				wanted = tt.name
			}
			c := catalogOf(t, as(t, s.Archive, trusting(t, s.key)))
			_, err := c.Find(wanted, time.Time{})
			if !errors.Is(err, tt.want) {
				t.Fatalf("Find = %v, want %v", err, tt.want)
			}
			if errors.Is(err, archive.ErrUntrusted) && !strings.Contains(err.Error(), "expected the key SHA256:") {
				t.Errorf("Find = %q, want the key that was expected", err)
			}
			if len(c.Bad) != 1 {
				t.Errorf("bad records: %v, want one", c.Bad)
			}
			r, err := c.Find(s.two.ImageID.Encoded()[:12], time.Time{})
			if err != nil || r.Name() != s.two.Name() {
				t.Errorf("demo-api:2: %v, %v", r, err)
			}
		})
	}
}

func moveRecord(t testing.TB, s signedArchive, name string) {
	t.Helper()
	for _, suffix := range []string{"", ".sig"} {
		if err := os.Rename(s.path(s.one.Name())+suffix, s.path(name)+suffix); err != nil {
			t.Fatal(err)
		}
	}
}

// TestCopyOfASignedRecord is all that a replay can be: the same statement once
// more, of the same time. It must not get before what came later.
func TestCopyOfASignedRecord(t *testing.T) {
	s := newSignedArchive(t)
	time.Sleep(2 * time.Millisecond) // records are told apart by the millisecond
	newer := newTestImage(t, "demo-api:1", layerTar(t, "newer"))
	latest := mustIngest(t, as(t, s.Archive, signWith(t, s.key)), classicSave(t, newer), classicInfo, newer.Image)[0]
	name := s.one.Name()[:len(s.one.Name())-4] + "ffff"
	mustWrite(t, s.path(name), mustRead(t, s.path(s.one.Name())))
	mustWrite(t, s.path(name)+".sig", mustRead(t, s.path(s.one.Name())+".sig"))
	c := catalogOf(t, as(t, s.Archive, trusting(t, s.key)))
	if r, err := c.Find("demo-api:1", time.Time{}); err != nil || r.Name() != latest.Name() {
		t.Errorf("Find = %v, %v; want the newest", r, err)
	}
	if len(c.Records) != 4 || len(c.Bad) != 0 {
		t.Errorf("%d records, %v", len(c.Records), c.Bad)
	}
}

// TestUntrustedIsNotArchived: what nobody vouches for must not let an image go.
func TestUntrustedIsNotArchived(t *testing.T) {
	img := newTestImage(t, "demo-api:1", layerTar(t, "one"))
	f, key := newFolder(t), newKey(t, "ops@example.com")
	unsigned := mustIngest(t, f, classicSave(t, img), classicInfo, img.Image)[0]
	opts := trusting(t, key)
	opts.Sign = signWith(t, key).Sign
	mine := as(t, f, opts)
	if r, ok := catalogOf(t, mine).ForImage(img.Image, engine.Classic); ok {
		t.Errorf("%s counts as archived", r.Name())
	}
	if _, err := mine.Verify(context.Background(), unsigned, img.Image, engine.Classic); !errors.Is(err, archive.ErrUntrusted) {
		t.Errorf("Verify of an unsigned record = %v", err)
	}
	before := blobCount(t, f)
	r := mustIngest(t, mine, classicSave(t, img), classicInfo, img.Image)[0]
	if _, err := mine.Verify(context.Background(), r, img.Image, engine.Classic); err != nil {
		t.Errorf("Verify of what was signed = %v", err)
	}
	if after := blobCount(t, f); after != before {
		t.Errorf("%d blobs became %d: the same image is stored twice", before, after)
	}
	if r, err := catalogOf(t, as(t, f, trusting(t, key))).Find("demo-api:1", time.Time{}); err != nil || r.Name() == unsigned.Name() {
		t.Errorf("Find = %v, %v", r, err)
	}
}

func blobCount(t testing.TB, f *archive.Archive) int {
	t.Helper()
	blobs, err := os.ReadDir(filepath.Join(f.Location(), "blobs/sha256"))
	if err != nil {
		t.Fatal(err)
	}
	return len(blobs)
}

// TestEveryRecordThatIsMadeIsSigned, by whatever way it is made.
func TestEveryRecordThatIsMadeIsSigned(t *testing.T) {
	key := newKey(t, "ops@example.com")
	f := as(t, newFolder(t), signWith(t, key))
	img := newTestImage(t, "demo-api:1", layerTar(t, "one"))
	r := mustIngest(t, f, classicSave(t, img), classicInfo, img.Image)[0]
	renamed := img.Image
	renamed.References = []string{"demo-api:stable"}
	if _, err := f.Rename(context.Background(), r, renamed, classicInfo); err != nil {
		t.Fatal(err)
	}
	other := newTestImage(t, "imported:1", layerTar(t, "two"))
	mustImport(t, f, classicSave(t, other))
	c := catalogOf(t, as(t, f, trusting(t, key)))
	if len(c.Records) != 3 || len(c.Bad) != 0 {
		t.Errorf("%d records, bad ones %v; want 3 good ones", len(c.Records), c.Bad)
	}
}

// TestSigningFails: no record without its signature.
func TestSigningFails(t *testing.T) {
	broken := errors.New("the token was pulled out")
	f := as(t, newFolder(t), archive.Options{Sign: func([]byte) ([]byte, error) { return nil, broken }})
	img := newTestImage(t, "demo-api:1", layerTar(t, "one"))
	if r, err := ingestOne(f, classicSave(t, img), classicInfo, img.Image); !errors.Is(err, broken) || r != nil {
		t.Errorf("Ingest = %v, %v", r, err)
	}
	if c := catalogOf(t, f); len(c.Records)+len(c.Bad) != 0 {
		t.Errorf("the archive has %v, %v", c.Records, c.Bad)
	}
}

// TestOthersRecordsStayInTheIndex: a tool that clears away what index.json does
// not name must not take them.
func TestOthersRecordsStayInTheIndex(t *testing.T) {
	s := newSignedArchive(t)
	opts := trusting(t, s.other)
	opts.Sign = signWith(t, s.other).Sign
	img := newTestImage(t, "demo-api:3", layerTar(t, "three"))
	mustIngest(t, as(t, s.Archive, opts), classicSave(t, img), classicInfo, img.Image)
	var index ocispec.Index
	if err := json.Unmarshal(mustRead(t, filepath.Join(s.Location(), "index.json")), &index); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, d := range index.Manifests {
		names = append(names, d.Annotations[ocispec.AnnotationRefName])
	}
	slices.Sort(names)
	if want := []string{"demo-api:1", "demo-api:2", "demo-api:3"}; !slices.Equal(names, want) {
		t.Errorf("index.json names %q, want %q", names, want)
	}
}

// TestForgottenForgery: who forgets a bad record hears no more of it.
func TestForgottenForgery(t *testing.T) {
	s := newSignedArchive(t)
	damages["missing"](t, s.path(s.one.Name())+".sig")
	f := as(t, s.Archive, trusting(t, s.key))
	store := archive.Mark{Kind: archive.Forgotten, Record: s.one.Name(), Time: time.Now()}
	mark, err := json.Marshal(store)
	if err != nil {
		t.Fatal(err)
	}
	mustWrite(t, filepath.Join(s.Location(), "archprune/marks", "forgotten-"+s.one.Name()+".json"), mark)
	c := catalogOf(t, f)
	if len(c.Bad) != 0 || len(c.Forgotten) != 1 || len(c.Records) != 1 {
		t.Errorf("bad %v, forgotten %v, records %v", c.Bad, c.Forgotten, c.Records)
	}
}

// TestSignatureWithoutARecord is left by a run that was killed between the two.
func TestSignatureWithoutARecord(t *testing.T) {
	s := newSignedArchive(t)
	long := time.Now().Add(-48 * time.Hour)
	for _, name := range []string{s.path("old") + ".sig", s.path("fresh") + ".sig", s.path(s.one.Name()) + ".sig"} {
		if !strings.Contains(name, s.one.Name()) {
			mustWrite(t, name, []byte("x"))
		}
		if !strings.Contains(name, "fresh") {
			if err := os.Chtimes(name, long, long); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := s.Prepare(context.Background()); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]bool{"old": false, "fresh": true, s.one.Name(): true} {
		if _, err := os.Stat(s.path(name) + ".sig"); (err == nil) != want {
			t.Errorf("%s.json.sig: there is %v, want %v", name, err == nil, want)
		}
	}
}
