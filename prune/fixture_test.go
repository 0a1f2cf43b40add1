package prune_test

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/api/types/image"
	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/engine/docker"
	"github.com/archprune/archprune/engine/enginetest"
	"github.com/archprune/archprune/prune"
	"github.com/archprune/archprune/selector"
)

func TestMain(m *testing.M) { enginetest.Main(m) }

// bench is an empty engine and an empty archive.
type bench struct {
	*enginetest.Engine
	client *docker.Client
	folder *archive.Archive
}

func setup(t *testing.T) bench {
	t.Helper()
	e := enginetest.Shared(t)
	e.Reset(t)
	for _, env := range e.Env() {
		name, value, _ := strings.Cut(env, "=")
		t.Setenv(name, value)
	}
	c, err := docker.New(docker.Options{Host: e.Host})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	f, err := archive.CreateFolder(filepath.Join(t.TempDir(), "archive"), archive.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	return bench{e, c, f}
}

// on is the same bench with another engine.
func (b bench) on(t testing.TB, e *enginetest.Engine) bench {
	t.Helper()
	c, err := docker.New(docker.Options{Host: e.Host})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	b.Engine, b.client = e, c
	return b
}

// leaks reports whether a save that meets a layer twice costs the engine disk.
func (b bench) leaks() bool {
	return b.Store == engine.Classic && b.Kind != "podman" && !strings.HasPrefix(b.Version, "20.")
}

// few are the names, or the first alone where an image with several would stay.
func (b bench) few(t testing.TB, names ...string) []string {
	t.Helper()
	if b.Differs(t, enginetest.SeveralNamesStay) {
		return names[:1]
	}
	return names
}

// wantReclaimed checks that the report has a figure, where the engine gives one.
func (b bench) wantReclaimed(t testing.TB, report prune.Report) {
	t.Helper()
	if b.Differs(t, enginetest.NoLayersSize) {
		if report.Reclaimed != -1 {
			t.Errorf("Reclaimed = %d, want that it is unknown", report.Reclaimed)
		}
	} else if report.Reclaimed <= 0 {
		t.Errorf("Reclaimed = %d, want a figure", report.Reclaimed)
	}
}

func (b bench) plan(t testing.TB, policy selector.Policy) selector.Plan {
	t.Helper()
	s, err := b.client.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return selector.Select(s, policy, time.Now())
}

// run carries out a plan without the engine or the archive interfering, and
// whatever came of it checks that nothing was lost.
func (b bench) run(t testing.TB, plan selector.Plan, opts prune.Options) prune.Report {
	t.Helper()
	return b.runOn(t, b.client, b.folder, plan, opts)
}

func (b bench) runOn(t testing.TB, eng prune.Engine, arch prune.Archive, plan selector.Plan, opts prune.Options) prune.Report {
	t.Helper()
	report, err := prune.Run(t.Context(), eng, arch, plan, opts)
	if err != nil {
		t.Fatalf("Run: %v", err)
	}
	b.checkNothingLost(t, report)
	return report
}

// checkNothingLost is the invariant of every run, however it went: an image
// that was not to be removed without an archive is in the engine, or in the
// archive under its names, as a process sees it that believes nothing.
func (b bench) checkNothingLost(t testing.TB, report prune.Report) {
	t.Helper()
	for _, res := range report.Results {
		img := res.Decision.Image
		there := b.ID(t, img.ID.String()) == img.ID
		switch res.Outcome {
		case prune.ArchivedRemoved, prune.Removed, prune.Vanished:
			if there {
				t.Errorf("%s is reported as %s but still there", title(img), res.Outcome)
			}
		default:
			if !there {
				t.Errorf("%s is reported as %s but not there", title(img), res.Outcome)
			}
		}
		if !there && res.Decision.Action != selector.Remove && res.Outcome != prune.Vanished {
			b.checkArchived(t, img)
		}
		if res.Outcome == prune.Stayed && res.Err == nil {
			t.Errorf("%s stayed without a reason", title(img))
		}
	}
}

// checkArchived proves the image's archive anew.
func (b bench) checkArchived(t testing.TB, img engine.Image) *archive.Record {
	t.Helper()
	f, err := archive.OpenFolder(b.folder.Location(), archive.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	catalog, err := f.Catalog(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	r, ok := catalog.ForImage(img, b.Store)
	if !ok {
		t.Errorf("%s is not in the archive", title(img))
		return nil
	}
	if _, err := f.Verify(context.Background(), r, img, b.Store); err != nil {
		t.Errorf("the archive of %s: %v", title(img), err)
	}
	return r
}

func title(img engine.Image) string {
	return strings.Join(append(slices.Clone(img.References), img.ID.Encoded()[:12]), " ")
}

// resultOf finds the result of the image with that name in the plan, or ID.
func resultOf(t testing.TB, report prune.Report, name string) prune.Result {
	t.Helper()
	for _, res := range report.Results {
		img := res.Decision.Image
		if img.ID.String() == name || slices.Contains(img.References, name) {
			return res
		}
	}
	t.Fatalf("the report has no %s", name)
	return prune.Result{}
}

func wantOutcome(t testing.TB, report prune.Report, name string, want prune.Outcome) prune.Result {
	t.Helper()
	res := resultOf(t, report, name)
	several := len(res.Decision.Image.References) > 1 && (want == prune.ArchivedRemoved || want == prune.Removed)
	if several && enginetest.Shared(t).Differs(t, enginetest.SeveralNamesStay) {
		want = prune.Kept
		if why := res.Decision.Reasons[0]; why.Code != "several-names" {
			t.Errorf("%s stays since it %s, want that it has several names", name, why.Text)
		}
	}
	if res.Outcome != want {
		t.Errorf("%s is %q (%v), want %q", name, res.Outcome, res.Err, want)
	}
	return res
}

// wantNames checks the names of an image that is in the engine.
func (b bench) wantNames(t testing.TB, id digest.Digest, names ...string) {
	t.Helper()
	img, err := b.client.Inspect(t.Context(), id.String())
	if err != nil {
		t.Error(err)
		return
	}
	slices.Sort(names)
	if !slices.Equal(img.References, names) {
		t.Errorf("names of %s = %q, want %q", id, img.References, names)
	}
}

// removeImage is what somebody else does meanwhile.
func (b bench) removeImage(t testing.TB, id digest.Digest) {
	t.Helper()
	if _, err := b.API().ImageRemove(context.Background(), id.String(), image.RemoveOptions{Force: true}); err != nil {
		t.Error(err)
	}
}

// sample is an image of a few KB with a base layer that all samples share.
func sample(key string, names ...string) enginetest.Image {
	return enginetest.Image{
		Names:  names,
		Layers: []enginetest.Layer{files("base"), files(key)},
		Labels: map[string]string{"key": key},
		Cmd:    []string{"/key"},
	}
}

func files(key string) enginetest.Layer {
	return enginetest.Files(map[string]string{"/opt/" + key: strings.Repeat(key+" ", 2000/(len(key)+1))})
}

func protect(t testing.TB, patterns ...string) selector.Policy {
	t.Helper()
	p, err := selector.ParsePatterns(patterns)
	if err != nil {
		t.Fatal(err)
	}
	return selector.Policy{Protect: p}
}

// hooked is a real engine with somebody else at work on it.
type hooked struct {
	*docker.Client
	before func(call string, n int) // just before the n-th call of that name; from 1
	save   func(ctx context.Context, names []string) (io.ReadCloser, error)
	remove func(ctx context.Context, img engine.Image) (engine.Removed, error)
	calls  map[string]int
}

func (h *hooked) enter(call string) {
	if h.calls == nil {
		h.calls = map[string]int{}
	}
	h.calls[call]++
	if h.before != nil {
		h.before(call, h.calls[call])
	}
}

func (h *hooked) Inspect(ctx context.Context, name string) (engine.Image, error) {
	h.enter("Inspect")
	return h.Client.Inspect(ctx, name)
}

func (h *hooked) Containers(ctx context.Context) ([]engine.Container, error) {
	h.enter("Containers")
	return h.Client.Containers(ctx)
}

func (h *hooked) Save(ctx context.Context, names []string) (io.ReadCloser, error) {
	h.enter("Save")
	if h.save != nil {
		return h.save(ctx, names)
	}
	return h.Client.Save(ctx, names)
}

func (h *hooked) Remove(ctx context.Context, img engine.Image) (engine.Removed, error) {
	h.enter("Remove")
	if h.remove != nil {
		return h.remove(ctx, img)
	}
	return h.Client.Remove(ctx, img)
}

func (h *hooked) LayersSize(ctx context.Context) (int64, error) {
	h.enter("LayersSize")
	return h.Client.LayersSize(ctx)
}

// faulty is a real archive in which single calls go wrong.
type faulty struct {
	*archive.Archive
	catalog func(ctx context.Context) (*archive.Catalog, error)
	rename  func() error
	ingest  func(ctx context.Context)
	verify  func(ctx context.Context, r *archive.Record, img engine.Image, store engine.StoreKind) (archive.Receipt, error)
	recheck func(ctx context.Context, r *archive.Record) error
	confirm func(ctx context.Context, r *archive.Record) error
}

var errMadeUp = errors.New("made up by the test")

func (f *faulty) Catalog(ctx context.Context) (*archive.Catalog, error) {
	if f.catalog != nil {
		return f.catalog(ctx)
	}
	return f.Archive.Catalog(ctx)
}

func (f *faulty) Rename(ctx context.Context, r *archive.Record, img engine.Image, info engine.Info) (*archive.Record, error) {
	if f.rename != nil {
		return nil, f.rename()
	}
	return f.Archive.Rename(ctx, r, img, info)
}

func (f *faulty) Ingest(ctx context.Context, body io.Reader, images []engine.Image, info engine.Info) ([]archive.Ingested, error) {
	if f.ingest != nil {
		f.ingest(ctx)
	}
	return f.Archive.Ingest(ctx, body, images, info)
}

func (f *faulty) Recheck(ctx context.Context, r *archive.Record) error {
	if f.recheck != nil {
		return f.recheck(ctx, r)
	}
	return f.Archive.Recheck(ctx, r)
}

func (f *faulty) Confirm(ctx context.Context, r *archive.Record) error {
	if f.confirm != nil {
		return f.confirm(ctx, r)
	}
	return f.Archive.Confirm(ctx, r)
}

func (f *faulty) Verify(ctx context.Context, r *archive.Record, img engine.Image, store engine.StoreKind) (archive.Receipt, error) {
	if f.verify != nil {
		return f.verify(ctx, r, img, store)
	}
	return f.Archive.Verify(ctx, r, img, store)
}
