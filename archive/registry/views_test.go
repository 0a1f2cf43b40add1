package registry_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/archive/archivetest"
	"github.com/archprune/archprune/archive/registry"
	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/internal/registrytest"
)

func start(t *testing.T, opts registrytest.Options) *place {
	t.Helper()
	return newPlace(t, registrytest.Start(t, opts), opts)
}

// open opens the archive of a place.
func open(t *testing.T, p *place) *archive.Archive {
	t.Helper()
	a := archive.New(p.Open(t), archive.Options{})
	t.Cleanup(func() {
		if err := a.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return a
}

// ingest archives an image of a classic store.
func ingest(t *testing.T, a *archive.Archive, img archivetest.ClassicImage) *archive.Record {
	t.Helper()
	return only(t, a, archivetest.ClassicSave(t, img), img.Image, archivetest.ClassicInfo)
}

func only(t *testing.T, a *archive.Archive, stream []byte, img engine.Image, info engine.Info) *archive.Record {
	t.Helper()
	results, err := a.Ingest(t.Context(), bytes.NewReader(stream), []engine.Image{img}, info)
	if err != nil {
		t.Fatal(err)
	}
	if results[0].Err != nil {
		t.Fatal(results[0].Err)
	}
	return results[0].Record
}

// shown is the digest of a view; empty where there is none.
func (p *place) shown(t *testing.T, repo, tag string) digest.Digest {
	t.Helper()
	r, opts := p.repo(t, repo)
	got, err := remote.Get(r.Tag(tag), opts...)
	if err != nil {
		return ""
	}
	return digest.Digest(got.Digest.String())
}

// TestViewsArePulled: what other tools pull is whole, and byte for byte what the
// record says.
func TestViewsArePulled(t *testing.T) {
	p := start(t, registrytest.Options{})
	a := open(t, p)
	img := archivetest.NewImage(t, "demo-api:2.3", archivetest.Layer(t, "base"), archivetest.Layer(t, "one"))
	img.References = append(img.References, "ghcr.io/team/api:stable", "localhost:5000/api:1")
	r := ingest(t, a, img)
	stored := archivetest.NewStoreImage(t, archivetest.NewImage(t, "demo-web:1", archivetest.Layer(t, "web")), ocispec.MediaTypeImageLayerGzip)
	web := only(t, a, archivetest.ContainerdSave(t, stored), stored.ClassicImage.Image, archivetest.ContainerdInfo)
	untagged := ingest(t, a, archivetest.NewImage(t, "", archivetest.Layer(t, "nameless")))
	for at, want := range map[string]*archive.Record{
		"demo-api:2.3": r, "ghcr.io/team/api:stable": r, "localhost__5000/api:1": r, "demo-web:1": web,
		"archprune/untagged:" + untagged.ImageID.Encoded(): untagged,
	} {
		path, tag, _ := strings.Cut(at, ":")
		repo, opts := p.repo(t, path)
		got, err := remote.Image(repo.Tag(tag), opts...)
		if err != nil {
			t.Errorf("%s: %v", at, err)
			continue
		}
		if err := pull(got); err != nil {
			t.Errorf("%s: %v", at, err)
		}
		raw, err := got.RawManifest()
		if err != nil || digest.FromBytes(raw) != want.View.Digest {
			t.Errorf("%s has manifest %s, %v, want %s", at, digest.FromBytes(raw), err, want.View.Digest)
		}
	}
	if raw, _ := imageManifest(t, p, "demo-web", "1"); !bytes.Equal(raw, stored.Manifest) {
		t.Error("the manifest of a containerd store is not what it was")
	}
}

// pull reads all of an image; what it reads is checked on the way.
func pull(img v1.Image) error {
	if _, err := img.RawConfigFile(); err != nil {
		return err
	}
	layers, err := img.Layers()
	if err != nil {
		return err
	}
	for _, l := range layers {
		r, err := l.Compressed()
		if err != nil {
			return err
		}
		defer r.Close()
		if _, err := io.Copy(io.Discard, r); err != nil {
			return err
		}
	}
	return nil
}

func imageManifest(t *testing.T, p *place, path, tag string) ([]byte, error) {
	t.Helper()
	repo, opts := p.repo(t, path)
	got, err := remote.Get(repo.Tag(tag), opts...)
	if err != nil {
		return nil, err
	}
	return got.Manifest, nil
}

// TestIndexIsShown with all its manifests.
func TestIndexIsShown(t *testing.T) {
	p := start(t, registrytest.Options{})
	a := open(t, p)
	stream, img := indexed(t)
	r := only(t, a, stream, img, archivetest.ContainerdInfo)
	if r.View.MediaType != ocispec.MediaTypeImageIndex {
		t.Fatalf("the view is %s: this test needs an index", r.View.MediaType)
	}
	repo, opts := p.repo(t, "demo-api")
	index, err := remote.Index(repo.Tag("1"), opts...)
	if err != nil {
		t.Fatal(err)
	}
	m, err := index.IndexManifest()
	if err != nil || len(m.Manifests) != 2 {
		t.Fatalf("the index is %+v, %v", m, err)
	}
	for _, d := range m.Manifests {
		img, err := index.Image(d.Digest)
		if err == nil {
			err = pull(img)
		}
		if err != nil {
			t.Errorf("%s: %v", d.Platform, err)
		}
	}
	if d, err := index.Digest(); err != nil || d.String() != r.ImageID.String() {
		t.Errorf("the index is %s, %v, want %s", d, err, r.ImageID)
	}
}

// TestRecordIsAReferrer of its view, for tools that know nothing of archprune.
func TestRecordIsAReferrer(t *testing.T) {
	p := start(t, registrytest.Options{})
	r := ingest(t, open(t, p), archivetest.NewImage(t, "demo-api:1", archivetest.Layer(t, "one")))
	repo, opts := p.repo(t, "demo-api")
	index, err := remote.Referrers(repo.Digest(r.View.Digest.String()), opts...)
	if err != nil {
		t.Fatal(err)
	}
	m, err := index.IndexManifest()
	if err != nil || len(m.Manifests) != 1 || m.Manifests[0].ArtifactType != "application/vnd.archprune.record.v1+json" {
		t.Fatalf("the referrers are %+v, %v", m, err)
	}
	got, err := remote.Get(repo.Digest(m.Manifests[0].Digest.String()), opts...)
	if err != nil {
		t.Fatal(err)
	}
	var record ocispec.Manifest
	if err := json.Unmarshal(got.Manifest, &record); err != nil {
		t.Fatal(err)
	}
	if record.Subject == nil || record.Subject.Digest != r.View.Digest {
		t.Errorf("its subject is %+v, want %s", record.Subject, r.View.Digest)
	}
	var read archive.Record
	if err := json.Unmarshal(record.Config.Data, &read); err != nil || read.ImageID != r.ImageID {
		t.Errorf("it holds a record of %s, %v, want %s", read.ImageID, err, r.ImageID)
	}
	truth, truthOpts := p.repo(t, "archprune")
	tags, err := remote.List(truth, truthOpts...)
	if slices.Sort(tags); err != nil || !slices.Equal(tags, []string{r.Name(), "format"}) {
		t.Errorf("the archive's tags are %q, %v", tags, err)
	}
}

// TestForeignImagesStay: somebody may have pushed images below the prefix.
func TestForeignImagesStay(t *testing.T) {
	p := start(t, registrytest.Options{Delete: true})
	foreign := start(t, registrytest.Options{}) // only to make an image
	ingest(t, open(t, foreign), archivetest.NewImage(t, "demo-api:1", archivetest.Layer(t, "theirs")))
	from, fromOpts := foreign.repo(t, "demo-api")
	theirs, err := remote.Image(from.Tag("1"), fromOpts...)
	if err != nil {
		t.Fatal(err)
	}
	to, opts := p.repo(t, "demo-api")
	if err := remote.Write(to.Tag("1"), theirs, opts...); err != nil {
		t.Fatal(err)
	}
	before := p.shown(t, "demo-api", "1")
	a := archive.New(p.Open(t), archive.Options{})
	r := ingest(t, a, archivetest.NewImage(t, "demo-api:1", archivetest.Layer(t, "ours")))
	other := ingest(t, a, archivetest.NewImage(t, "demo-web:1", archivetest.Layer(t, "web")))
	if _, err := a.Forget(t.Context(), []*archive.Record{r}); err != nil {
		t.Fatal(err)
	}
	if now := p.shown(t, "demo-api", "1"); now != before {
		t.Errorf("demo-api:1 is %s now, and was %s", now, before)
	}
	if now := p.shown(t, "demo-web", "1"); now != other.View.Digest {
		t.Errorf("demo-web:1 is %s, want %s", now, other.View.Digest)
	}
	if err := a.Remember(t.Context(), []*archive.Record{r}); err != nil {
		t.Fatal(err)
	}
	if err := a.Close(); err == nil || !strings.Contains(err.Error(), "demo-api:1") || !strings.Contains(err.Error(), "not from this archive") {
		t.Errorf("Close does not tell of it: %v", err)
	}
}

// TestViewsFollowTheRecords: the newest record of a name is what is pulled, and
// what is forgotten can't be pulled any more.
func TestViewsFollowTheRecords(t *testing.T) {
	p := start(t, registrytest.Options{Delete: true})
	a := open(t, p)
	old := ingest(t, a, archivetest.NewImage(t, "demo-api:1", archivetest.Layer(t, "old")))
	img := archivetest.NewImage(t, "demo-api:1", archivetest.Layer(t, "new"))
	img.References = append(img.References, "demo-api:stable")
	newer := ingest(t, a, img)
	expect := func(tag string, want digest.Digest) {
		t.Helper()
		if got := p.shown(t, "demo-api", tag); got != want {
			t.Errorf("demo-api:%s is %q, want %q", tag, got, want)
		}
	}
	expect("1", newer.View.Digest)
	expect("stable", newer.View.Digest)
	forget := func(r *archive.Record) {
		t.Helper()
		if _, err := open(t, p).Forget(t.Context(), []*archive.Record{r}); err != nil {
			t.Fatal(err)
		}
	}
	forget(newer)
	expect("1", old.View.Digest)
	expect("stable", "")
	if err := open(t, p).Remember(t.Context(), []*archive.Record{newer}); err != nil {
		t.Fatal(err)
	}
	expect("1", newer.View.Digest)
	expect("stable", newer.View.Digest)
	forget(newer)
	forget(old)
	expect("1", "")
	repo, opts := p.repo(t, "demo-api")
	if tags, err := remote.List(repo, opts...); err == nil && len(tags) > 0 {
		t.Errorf("tags are left: %q", tags)
	}
}

// TestOneImageUnderTwoNames: one goes, the other stays, although they share a
// manifest, which registries delete with all its tags.
func TestOneImageUnderTwoNames(t *testing.T) {
	p := start(t, registrytest.Options{Delete: true})
	a := open(t, p)
	img := archivetest.NewImage(t, "demo-api:1", archivetest.Layer(t, "one"))
	first := ingest(t, a, img)
	img.References = []string{"demo-api:2"}
	second, err := a.Rename(t.Context(), first, img.Image, archivetest.ClassicInfo)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Forget(t.Context(), []*archive.Record{first}); err != nil {
		t.Fatal(err)
	}
	if got := p.shown(t, "demo-api", "1"); got != "" {
		t.Errorf("demo-api:1 is still %s", got)
	}
	if got := p.shown(t, "demo-api", "2"); got != second.View.Digest {
		t.Errorf("demo-api:2 is %q, want %s", got, second.View.Digest)
	}
}

// TestNoDeletion: a registry that does not delete says so in words that help,
// and marks can be taken back all the same.
func TestNoDeletion(t *testing.T) {
	p := start(t, registrytest.Options{})
	a := open(t, p)
	r := ingest(t, a, archivetest.NewImage(t, "demo-api:1", archivetest.Layer(t, "one")))
	if _, err := a.Forget(t.Context(), []*archive.Record{r}); err != nil {
		t.Fatal(err)
	}
	if err := a.Remember(t.Context(), []*archive.Record{r}); err != nil {
		t.Fatal(err)
	}
	if err := a.Pin(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	if err := a.Unpin(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	c, err := open(t, p).Catalog(t.Context())
	if err != nil || len(c.Records) != 1 || len(c.Marks) != 0 {
		t.Errorf("the catalog is %+v, %v", c, err)
	}
	err = p.Open(t).RemoveRecord(t.Context(), r)
	if !errors.Is(err, registry.ErrNoDeletion) || !strings.Contains(err.Error(), "REGISTRY_STORAGE_DELETE_ENABLED") {
		t.Errorf("RemoveRecord: %v", err)
	}
}

// indexed is a save of an image that is an index of two platforms, both whole.
func indexed(t *testing.T) ([]byte, engine.Image) {
	t.Helper()
	s := archivetest.NewStream(t)
	var index ocispec.Index
	index.SchemaVersion, index.MediaType = 2, ocispec.MediaTypeImageIndex
	var img engine.Image
	for _, architecture := range []string{"arm64", "amd64"} {
		stored := archivetest.NewStoreImage(t, archivetest.NewImage(t, "demo-api:1", archivetest.Layer(t, architecture)), ocispec.MediaTypeImageLayerGzip)
		for _, b := range append([][]byte{stored.Config, stored.Manifest}, stored.Blobs...) {
			s.Blob(b)
		}
		d := archivetest.Descriptor(ocispec.MediaTypeImageManifest, stored.Manifest)
		d.Platform = &ocispec.Platform{OS: "linux", Architecture: architecture}
		index.Manifests = append(index.Manifests, d)
		img = stored.ClassicImage.Image
	}
	data := archivetest.JSON(t, index)
	img.ID = digest.FromBytes(data)
	s.Blob(data)
	s.File("index.json", archivetest.JSON(t, ocispec.Index{Manifests: []ocispec.Descriptor{archivetest.Descriptor(ocispec.MediaTypeImageIndex, data)}}))
	s.File("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`))
	return s.End(), img
}
