package prune_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/prune"
	"github.com/archprune/archprune/selector"
)

// withBody is what readers say when the body they stand for is closed.
type withBody struct {
	io.Reader
	io.Closer
}

// badSaves are what may go wrong with a save in which one image takes part.
// The image w is another one, which the engine has as well.
var badSaves = map[string]func(h *hooked, w string) func(context.Context, []string) (io.ReadCloser, error){
	"error": func(*hooked, string) func(context.Context, []string) (io.ReadCloser, error) {
		return func(context.Context, []string) (io.ReadCloser, error) { return nil, errMadeUp }
	},
	"truncated": changedBody(func(r io.Reader) io.Reader { return io.LimitReader(r, 4000) }),
	"connection lost": changedBody(func(r io.Reader) io.Reader {
		return io.MultiReader(io.LimitReader(r, 4000), iotest.ErrReader(errMadeUp))
	}),
	"no bytes": changedBody(func(io.Reader) io.Reader { return bytes.NewReader(nil) }),
	"error after the tar": changedBody(func(r io.Reader) io.Reader {
		return io.MultiReader(r, strings.NewReader(`{"message":"lease does not exist"}`))
	}),
	"another image": func(h *hooked, w string) func(context.Context, []string) (io.ReadCloser, error) {
		return func(ctx context.Context, _ []string) (io.ReadCloser, error) {
			return h.Client.Save(ctx, []string{w})
		}
	},
}

func changedBody(change func(io.Reader) io.Reader) func(*hooked, string) func(context.Context, []string) (io.ReadCloser, error) {
	return func(h *hooked, _ string) func(context.Context, []string) (io.ReadCloser, error) {
		return func(ctx context.Context, names []string) (io.ReadCloser, error) {
			body, err := h.Client.Save(ctx, names)
			if err != nil {
				return nil, err
			}
			return withBody{change(body), body}, nil
		}
	}
}

func TestFailedSaveLeavesTheImageAlone(t *testing.T) {
	for name, bad := range badSaves {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			names := b.few(t, "demo-api:1", "demo-api:latest")
			ids := b.Load(t, sample("x", names...), sample("z", "demo-api:2"), sample("w", "w:1"))
			h := &hooked{Client: b.client}
			fail := bad(h, "w:1")
			h.save = func(ctx context.Context, names []string) (io.ReadCloser, error) {
				if slices.Contains(names, ids[0].String()) {
					return fail(ctx, names)
				}
				return h.Client.Save(ctx, names)
			}
			report := b.runOn(t, h, b.folder, b.plan(t, protect(t, "w")), prune.Options{})
			res := wantOutcome(t, report, "demo-api:1", prune.Stayed)
			if res.Err == nil || res.Record != nil {
				t.Errorf("result = %+v, want the reason and no record", res)
			}
			wantOutcome(t, report, "demo-api:2", prune.ArchivedRemoved)
			b.wantNames(t, ids[0], names...)
			if !report.Partial() {
				t.Error("the report does not say that something stayed")
			}
		})
	}
}

// damageLayers does something to the stored layers of a record.
func damageLayers(t testing.TB, f *archive.Archive, r *archive.Record, act func(path string) error) {
	t.Helper()
	for _, l := range r.Contents[0].Layers {
		if err := act(filepath.Join(f.Location(), "blobs", "sha256", l.Stored.Digest.Encoded())); err != nil {
			t.Error(err)
		}
	}
}

var damages = map[string]func(path string) error{
	"missing":   os.Remove,
	"truncated": func(path string) error { return os.Truncate(path, 10) },
	"flipped": func(path string) error {
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		data[len(data)/2] ^= 1
		return os.WriteFile(path, data, 0o600)
	},
}

// Between archiving and proving, in the same process, the archive's disk or
// another host spoils what was written.
func TestDamagedArchiveIsNoProof(t *testing.T) {
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			id := b.Load(t, sample("x", "demo-api:1"))[0]
			arch := &faulty{Archive: b.folder}
			arch.verify = func(ctx context.Context, r *archive.Record, img engine.Image, store engine.StoreKind) (archive.Receipt, error) {
				damageLayers(t, b.folder, r, damage)
				return b.folder.Verify(ctx, r, img, store)
			}
			h := &hooked{Client: b.client}
			report := b.runOn(t, h, arch, b.plan(t, selector.Policy{}), prune.Options{})
			res := wantOutcome(t, report, "demo-api:1", prune.Stayed)
			var damaged *archive.DamageError
			if !errors.As(res.Err, &damaged) || res.Record != nil {
				t.Errorf("result = %v, record %v; want damage and no record", res.Err, res.Record)
			}
			b.wantNames(t, id, "demo-api:1")
			if h.calls["Remove"] != 0 {
				t.Errorf("%d removals", h.calls["Remove"])
			}
		})
	}
}

// What an earlier run archived and has been spoiled since is archived again.
func TestDamagedOldArchiveIsReplaced(t *testing.T) {
	for name, damage := range damages {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			b.Load(t, sample("x", "demo-api:1"))
			report := b.run(t, b.plan(t, selector.Policy{}), prune.Options{ArchiveOnly: true})
			damageLayers(t, b.folder, resultOf(t, report, "demo-api:1").Record, damage)
			again, err := archive.OpenFolder(b.folder.Location(), archive.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer again.Close()
			report = b.runOn(t, b.client, again, b.plan(t, selector.Policy{}), prune.Options{})
			wantOutcome(t, report, "demo-api:1", prune.ArchivedRemoved)
		})
	}
}

// A layer that the archive has is damaged when a new image is archived that
// rests on it: the engine's good one takes its place, also where nothing is
// removed, and the old image is good again too.
func TestDamagedSharedLayerIsReplaced(t *testing.T) {
	for _, archiveOnly := range []bool{true, false} {
		for name, damage := range damages {
			t.Run(fmt.Sprintf("%s, archive only %v", name, archiveOnly), func(t *testing.T) {
				b := setup(t)
				old := b.Load(t, sample("x", "demo-api:1"))[0]
				report := b.run(t, b.plan(t, selector.Policy{}), prune.Options{ArchiveOnly: true})
				record := resultOf(t, report, "demo-api:1").Record
				damageLayers(t, b.folder, record, damage)
				b.removeImage(t, old)
				b.Load(t, sample("y", "demo-api:2"))
				again, err := archive.OpenFolder(b.folder.Location(), archive.Options{})
				if err != nil {
					t.Fatal(err)
				}
				defer again.Close()
				report = b.runOn(t, b.client, again, b.plan(t, selector.Policy{}), prune.Options{ArchiveOnly: archiveOnly})
				want := prune.ArchivedRemoved
				if archiveOnly {
					want = prune.Archived
				}
				res := wantOutcome(t, report, "demo-api:2", want)
				if err := b.folder.Check(t.Context(), res.Record, nil); err != nil {
					t.Errorf("the new image: %v", err)
				}
			})
		}
	}
}

func TestFailingArchive(t *testing.T) {
	b := setup(t)
	id := b.Load(t, sample("x", "demo-api:1"), sample("y", "y:1"))[0]
	arch := &faulty{Archive: b.folder}
	arch.catalog = func(context.Context) (*archive.Catalog, error) { return nil, errMadeUp }
	h := &hooked{Client: b.client}
	report, err := prune.Run(t.Context(), h, arch, b.plan(t, protect(t, "y")), prune.Options{})
	if !errors.Is(err, errMadeUp) {
		t.Errorf("Run = %v, want %v", err, errMadeUp)
	}
	b.checkNothingLost(t, report)
	wantOutcome(t, report, "y:1", prune.Kept)
	if res := wantOutcome(t, report, "demo-api:1", prune.Stayed); !errors.Is(res.Err, errMadeUp) {
		t.Errorf("error = %v, want %v", res.Err, errMadeUp)
	}
	b.wantNames(t, id, "demo-api:1")
	if h.calls["Save"]+h.calls["Remove"] != 0 {
		t.Errorf("calls = %v, want no save and no removal", h.calls)
	}
}

// An image under new names is recorded without an export. Where that fails it
// is exported like any other.
func TestFailingRename(t *testing.T) {
	b := setup(t)
	b.Load(t, sample("x", "demo-api:1"))
	b.run(t, b.plan(t, selector.Policy{}), prune.Options{ArchiveOnly: true})
	b.Tag(t, "demo-api:1", "demo-api:new")
	arch := &faulty{Archive: b.folder, rename: func() error { return errMadeUp }}
	h := &hooked{Client: b.client}
	report := b.runOn(t, h, arch, b.plan(t, selector.Policy{}), prune.Options{})
	res := wantOutcome(t, report, "demo-api:1", prune.ArchivedRemoved)
	if res.Outcome == prune.Kept {
		return // it has several names
	}
	if h.calls["Save"] != 1 || res.Record == nil || !slices.Contains(res.Record.References, "demo-api:new") {
		t.Errorf("%d saves, record %+v; want one with the new name", h.calls["Save"], res.Record)
	}
}

// Whatever an archive says: without a receipt for this very image nothing
// goes.
func TestNoReceiptNoRemoval(t *testing.T) {
	for name, verify := range map[string]func(b bench, other *archive.Record, otherImg engine.Image) (archive.Receipt, error){
		"zero receipt": func(bench, *archive.Record, engine.Image) (archive.Receipt, error) { return archive.Receipt{}, nil },
		"receipt of another image": func(b bench, r *archive.Record, img engine.Image) (archive.Receipt, error) {
			return b.folder.Verify(context.Background(), r, img, b.Store)
		},
		"error": func(bench, *archive.Record, engine.Image) (archive.Receipt, error) {
			return archive.Receipt{}, errMadeUp
		},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			ids := b.Load(t, sample("x", "demo-api:1"), sample("y", "y:1"))
			keep := selector.Policy{}
			other := resultOf(t, b.run(t, b.plan(t, keep), prune.Options{ArchiveOnly: true}), "y:1")
			arch := &faulty{Archive: b.folder}
			arch.verify = func(context.Context, *archive.Record, engine.Image, engine.StoreKind) (archive.Receipt, error) {
				return verify(b, other.Record, other.Decision.Image)
			}
			h := &hooked{Client: b.client}
			report := b.runOn(t, h, arch, b.plan(t, protect(t, "y")), prune.Options{})
			wantOutcome(t, report, "demo-api:1", prune.Stayed)
			b.wantNames(t, ids[0], "demo-api:1")
			if h.calls["Inspect"]+h.calls["Remove"] != 0 {
				t.Errorf("calls = %v, want none about a removal", h.calls)
			}
		})
	}
}
