package prune_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/prune"
	"github.com/archprune/archprune/selector"
)

// TestLeaseLost: a run that was away for so long that another host took it for
// dead removes nothing any more, whatever was proven before.
func TestLeaseLost(t *testing.T) {
	for _, moment := range []string{"Save", "Inspect", "Containers"} {
		t.Run(moment, func(t *testing.T) {
			b := setup(t)
			ids := b.Load(t, sample("x", "demo-api:1"), sample("y", "demo-api:2"), sample("z", "demo-other:1"))
			policy := selector.Policy{Keep: protect(t, "demo-api").Protect} // demo-other goes without an archive
			ctx, err := b.folder.Leased(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			h := &hooked{Client: b.client}
			h.before = func(call string, n int) {
				if call == moment && n == 1 {
					b.takeLease(t)
				}
			}
			report, err := prune.Run(ctx, h, b.folder, b.plan(t, policy), prune.Options{})
			if !errors.Is(err, archive.ErrLeaseLost) {
				t.Errorf("Run = %v, want that the lease is lost", err)
			}
			if h.calls["Remove"] > 0 {
				t.Errorf("%d calls to remove", h.calls["Remove"])
			}
			for _, id := range ids {
				if res := wantOutcome(t, report, id.String(), prune.Stayed); !errors.Is(res.Err, archive.ErrLeaseLost) {
					t.Errorf("%s stayed since %v", title(res.Decision.Image), res.Err)
				}
			}
			b.checkNothingLost(t, report)
			if err := b.folder.Close(); err != nil {
				t.Error(err)
			}
			again := b.run(t, b.plan(t, policy), prune.Options{})
			for _, id := range ids[:2] {
				wantOutcome(t, again, id.String(), prune.ArchivedRemoved)
			}
		})
	}
}

// takeLease is what another host does that takes this process for dead.
func (b bench) takeLease(t testing.TB) {
	t.Helper()
	sessions, err := filepath.Glob(filepath.Join(b.folder.Location(), "archprune/tmp/*"))
	if err != nil || len(sessions) != 1 {
		t.Errorf("sessions are %v, %v", sessions, err)
	}
	for _, dir := range sessions {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	}
}

// TestArchiveIsReplaced: another folder takes the place of the archive while a run
// is at work, as when a share is mounted over it. Who looks there would not find
// what was archived.
func TestArchiveIsReplaced(t *testing.T) {
	for _, moment := range []string{"Save", "Inspect", "Containers"} {
		t.Run(moment, func(t *testing.T) {
			b := setup(t)
			ids := b.Load(t, sample("x", "demo-api:1"), sample("z", "demo-other:1"))
			path := b.folder.Location()
			h := &hooked{Client: b.client}
			h.before = func(call string, n int) {
				if call == moment && n == 1 {
					if err := errors.Join(os.Rename(path, path+".away"), os.CopyFS(path, os.DirFS(path+".away"))); err != nil {
						t.Error(err)
					}
				}
			}
			report := b.runOn(t, h, b.folder, b.plan(t, selector.Policy{}), prune.Options{})
			for _, id := range ids {
				wantText(t, wantOutcome(t, report, id.String(), prune.Stayed).Err, "another folder")
			}
			if h.calls["Remove"] > 0 {
				t.Errorf("%d calls to remove", h.calls["Remove"])
			}
		})
	}
}
