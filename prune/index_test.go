package prune_test

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"io"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/engine/enginetest"
	"github.com/archprune/archprune/prune"
	"github.com/archprune/archprune/restore"
	"github.com/archprune/archprune/selector"
)

// layout is an OCI image layout as a tar.
type layout struct {
	testing.TB
	tar  *tar.Writer
	data bytes.Buffer
}

func newLayout(t testing.TB) *layout {
	l := &layout{TB: t}
	l.tar = tar.NewWriter(&l.data)
	l.file("oci-layout", []byte(`{"imageLayoutVersion":"1.0.0"}`))
	return l
}

func (l *layout) file(name string, data []byte) {
	l.Helper()
	if err := l.tar.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data))}); err != nil {
		l.Fatal(err)
	}
	if _, err := l.tar.Write(data); err != nil {
		l.Fatal(err)
	}
}

func (l *layout) blob(mediaType string, v any, there bool) ocispec.Descriptor {
	l.Helper()
	data, ok := v.([]byte)
	if !ok {
		var err error
		if data, err = json.Marshal(v); err != nil {
			l.Fatal(err)
		}
	}
	d := ocispec.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(data), Size: int64(len(data))}
	if there {
		l.file("blobs/sha256/"+d.Digest.Encoded(), data)
	}
	return d
}

// image adds an image of one layer for a platform, or only speaks of it.
func (l *layout) image(platform ocispec.Platform, layer enginetest.Layer, there bool) ocispec.Descriptor {
	l.Helper()
	var content bytes.Buffer
	if _, err := layer.WriteTo(&content); err != nil {
		l.Fatal(err)
	}
	config := l.blob(ocispec.MediaTypeImageConfig, ocispec.Image{Platform: platform,
		RootFS: ocispec.RootFS{Type: "layers", DiffIDs: []digest.Digest{layer.DiffID()}}}, there)
	d := l.blob(ocispec.MediaTypeImageManifest, ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest, Config: config,
		Layers: []ocispec.Descriptor{l.blob(ocispec.MediaTypeImageLayer, content.Bytes(), there)}}, there)
	d.Platform = &platform
	return d
}

// attestation adds what BuildKit attaches to an image.
func (l *layout) attestation(to ocispec.Descriptor) ocispec.Descriptor {
	l.Helper()
	statement := map[string]any{"predicateType": "https://slsa.dev/provenance/v0.2"}
	d := l.blob(ocispec.MediaTypeImageManifest, ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageManifest,
		Config:    l.blob(ocispec.MediaTypeImageConfig, ocispec.Image{Platform: ocispec.Platform{OS: "unknown", Architecture: "unknown"}, RootFS: ocispec.RootFS{Type: "layers"}}, true),
		Layers:    []ocispec.Descriptor{l.blob("application/vnd.in-toto+json", statement, true)}}, true)
	d.Platform = &ocispec.Platform{OS: "unknown", Architecture: "unknown"}
	d.Annotations = map[string]string{"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": to.Digest.String()}
	return d
}

// load gives the engine the index of these manifests.
func (l *layout) load(b bench, name string, manifests ...ocispec.Descriptor) digest.Digest {
	l.Helper()
	index := l.blob(ocispec.MediaTypeImageIndex, ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2},
		MediaType: ocispec.MediaTypeImageIndex, Manifests: manifests}, true)
	index.Annotations = map[string]string{"io.containerd.image.name": "docker.io/library/" + name}
	top, err := json.Marshal(ocispec.Index{Versioned: specs.Versioned{SchemaVersion: 2}, Manifests: []ocispec.Descriptor{index}})
	if err != nil {
		l.Fatal(err)
	}
	l.file("index.json", top)
	if err := l.tar.Close(); err != nil {
		l.Fatal(err)
	}
	res, err := b.API().ImageLoad(l.Context(), &l.data)
	if err != nil {
		l.Fatal(err)
	}
	defer res.Body.Close()
	if answer, err := io.ReadAll(res.Body); err != nil || strings.Contains(string(answer), "rror") {
		l.Fatalf("%s %v", answer, err)
	}
	if b.ID(l, name) != index.Digest {
		l.Fatalf("%s is %s, want %s", name, b.ID(l, name), index.Digest)
	}
	return index.Digest
}

var (
	here  = ocispec.Platform{OS: "linux", Architecture: runtime.GOARCH}
	other = ocispec.Platform{OS: "linux", Architecture: "riscv64"}
)

// An image of several platforms with an attestation is pushed as it is. Of one
// whose platforms are not all there, the engine pushes another manifest: it is
// saved instead, after a push in vain where the engine is too old to say so
// (before API 1.47). Only a containerd store has such images.
func TestIndexByPush(t *testing.T) {
	b := setup(t)
	if b.Store != engine.Containerd {
		return
	}
	for name, whole := range map[string]bool{"whole": true, "partial": false} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			l := newLayout(t)
			own := l.image(here, files("here"), true)
			id := l.load(b, "demo-multi:1", own, l.image(other, files("there"), whole), l.attestation(own))
			report := b.run(t, b.plan(t, selector.Policy{}), b.byPush(t))
			record := wantOutcome(t, report, "demo-multi:1", prune.ArchivedRemoved).Record
			inVain := !whole && len(resultOf(t, report, "demo-multi:1").Decision.Image.Manifests) == 0
			if whole != (report.Pushed == 1) || inVain != (len(report.Notes) > 0) || report.Saved+report.Pushed != 1 {
				t.Errorf("report = %+v", report)
			}
			if record.ImageID != id || record.Partial == whole {
				t.Errorf("record of %s, partial: %v; want %s", record.ImageID, record.Partial, id)
			}
			if whole && (len(record.Contents) != 2 || record.View.Digest == "") {
				t.Errorf("record has %d platforms, want 2", len(record.Contents))
			}
			b.wantNoTrace(t)
		})
	}
}

// Whether an engine has got more of an image since it was archived only another
// export tells, where the engine is too old to say. It makes no second record.
func TestPartialIndexIsRecordedOnce(t *testing.T) {
	b := setup(t)
	if b.Store != engine.Containerd {
		return
	}
	l := newLayout(t)
	l.load(b, "demo-multi:1", l.image(here, files("here"), true), l.image(other, files("there"), false))
	for range 3 {
		report := b.run(t, b.plan(t, selector.Policy{}), prune.Options{ArchiveOnly: true})
		if report.Partial() || !resultOf(t, report, "demo-multi:1").Record.Partial {
			t.Errorf("report = %+v", report)
		}
		catalog, err := b.folder.Catalog(t.Context())
		if err != nil || len(catalog.Records) != 1 {
			t.Errorf("the archive has %d records, %v; want 1", len(catalog.Records), err)
		}
	}
}

// A newer engine, which tells of platforms, has seen the image without one, and
// under another name since. An older one that has both must give both before the
// image goes.
func TestPlatformThatAnotherEngineLacked(t *testing.T) {
	b := setup(t)
	if b.Store != engine.Containerd {
		return
	}
	var own, there ocispec.Descriptor
	index := func(whole bool) {
		l := newLayout(t)
		own, there = l.image(here, files("here"), true), l.image(other, files("there"), whole)
		l.load(b, "demo-multi:1", own, there)
	}
	index(false)
	plan := b.plan(t, selector.Policy{})
	res := resultOf(t, b.run(t, plan, prune.Options{ArchiveOnly: true}), "demo-multi:1")
	img := res.Decision.Image
	img.References = []string{"demo-multi:1", "demo-multi:2"}
	img.Manifests = []engine.Manifest{{Digest: own.Digest, Kind: "image", Available: true}, {Digest: there.Digest, Kind: "image"}}
	if _, err := b.folder.Rename(t.Context(), res.Record, img, plan.Snapshot.Engine); err != nil {
		t.Fatal(err)
	}
	index(true)
	if err := b.client.Tag(t.Context(), img.ID, "demo-multi:2"); err != nil {
		t.Fatal(err)
	}
	report := b.run(t, b.plan(t, selector.Policy{}), prune.Options{})
	if r := wantOutcome(t, report, "demo-multi:1", prune.ArchivedRemoved).Record; len(r.Contents) != 2 {
		t.Errorf("of the image's two platforms the archive has %d", len(r.Contents))
	}
}

// The engine has got the image back without one of its platforms. A restore brings
// that too.
func TestRestoreOfAPlatform(t *testing.T) {
	b := setup(t)
	if b.Store != engine.Containerd {
		return
	}
	index := func(whole bool) digest.Digest {
		l := newLayout(t)
		return l.load(b, "demo-multi:1", l.image(here, files("here"), true), l.image(other, files("there"), whole))
	}
	index(true)
	report := b.run(t, b.plan(t, selector.Policy{}), prune.Options{})
	record := wantOutcome(t, report, "demo-multi:1", prune.ArchivedRemoved).Record
	id := index(false)
	for range 2 {
		res, err := restore.Run(t.Context(), b.client, b.folder, record, restore.Options{Known: []*archive.Record{record}})
		if err != nil || res.ID != id {
			t.Fatalf("restore = %+v, %v", res, err)
		}
	}
	b.wantNames(t, id, "demo-multi:1")
	if err := b.folder.Close(); err != nil {
		t.Fatal(err)
	}
	f, err := archive.CreateFolder(filepath.Join(t.TempDir(), "archive"), archive.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	report, err = prune.Run(t.Context(), b.client, f, b.plan(t, selector.Policy{}), prune.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if r := wantOutcome(t, report, "demo-multi:1", prune.ArchivedRemoved).Record; r == nil || len(r.Contents) != 2 {
		t.Errorf("the engine gave back %+v, want two platforms", r)
	}
}
