package prune_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/engine/enginetest"
	"github.com/archprune/archprune/prune"
	"github.com/archprune/archprune/selector"
)

// The run is interrupted just before each of its steps in turn. Nothing is
// lost, and the next run finishes the work.
func TestInterruptedRun(t *testing.T) {
	const steps = 40 // more than any engine takes
	for k := 1; k <= steps; k++ {
		reached := false
		t.Run(fmt.Sprint("step ", k), func(t *testing.T) { reached = interruptAt(t, k) })
		if !reached {
			return
		}
	}
	t.Errorf("the run still goes on after %d steps", steps)
}

// interruptAt reports whether the run had so many steps.
func interruptAt(t *testing.T, k int) bool {
	b := setup(t)
	b.Load(t, sample("x", "demo-api:1"), sample("z", b.few(t, "demo-api:2", "demo-api:latest")...), sample("untagged"))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	step := func() {
		if n++; n == k {
			cancel()
		}
	}
	h := &hooked{Client: b.client, before: func(string, int) { step() }}
	arch := &faulty{Archive: b.folder, ingest: func(context.Context) { step() }}
	arch.catalog = func(ctx context.Context) (*archive.Catalog, error) {
		step()
		return b.folder.Catalog(ctx)
	}
	arch.verify = func(ctx context.Context, r *archive.Record, img engine.Image, store engine.StoreKind) (archive.Receipt, error) {
		step()
		return b.folder.Verify(ctx, r, img, store)
	}
	report, err := prune.Run(ctx, h, arch, b.plan(t, selector.Policy{}), prune.Options{})
	b.checkNothingLost(t, report)
	if report.Partial() && !errors.Is(err, context.Canceled) || err != nil && !report.Partial() {
		t.Errorf("Run = %v with partial = %v", err, report.Partial())
	}
	for _, res := range report.Results {
		switch res.Outcome {
		case prune.Archived, prune.AlreadyArchived, prune.Kept:
			t.Errorf("%s is %q, as if that had been planned", title(res.Decision.Image), res.Outcome)
		}
	}
	if err := b.folder.Close(); err != nil {
		t.Error(err)
	}
	report = b.run(t, b.plan(t, selector.Policy{}), prune.Options{})
	if report.Partial() {
		t.Errorf("the next run did not finish: %+v", report)
	}
	return n >= k
}

// A build parent waits for its child, proven, when the run is interrupted. It
// was to be removed: that it is in the archive is not all.
func TestInterruptedWhileAParentWaits(t *testing.T) {
	b := setup(t)
	base, _, top := b.chain(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	arch := &faulty{Archive: b.folder}
	arch.verify = func(ctx context.Context, r *archive.Record, img engine.Image, store engine.StoreKind) (archive.Receipt, error) {
		if img.ID == top {
			cancel()
		}
		return b.folder.Verify(ctx, r, img, store)
	}
	report, err := prune.Run(ctx, b.client, arch, b.plan(t, selector.Policy{}), prune.Options{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v, want %v", err, context.Canceled)
	}
	b.checkNothingLost(t, report)
	if b.Differs(t, enginetest.ParentsGoFirst) {
		wantOutcome(t, report, base.String(), prune.ArchivedRemoved)
	} else if b.Store == engine.Classic {
		wantOutcome(t, report, base.String(), prune.Stayed)
	}
	wantOutcome(t, report, top.String(), prune.Stayed)
}
