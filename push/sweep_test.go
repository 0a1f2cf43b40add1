package push_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/push"
)

// Names and placeholders that a killed run left go; those of a run at work stay.
func TestSweep(t *testing.T) {
	h := setup(t)
	ids := h.Load(t, sample("one", "demo-api:1"), sample("two"))
	dead := engine.BorrowedName("127.0.0.1:9", "RUN", 0)
	h.Tag(t, ids[0].String(), dead)
	other := engine.BorrowedName("127.0.0.1:7", "RUN", 1)
	h.Tag(t, ids[1].String(), other)
	before, err := h.client.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(before.Borrowed) != 2 || len(before.Images) != 2 {
		t.Fatalf("snapshot has %+v and %d images", before.Borrowed, len(before.Images))
	}
	for _, img := range before.Images {
		for _, name := range slices.Concat(img.References, img.RepoDigests) {
			if strings.Contains(name, engine.BorrowedPath) {
				t.Errorf("the snapshot tells of %s", name)
			}
		}
	}
	if err := push.Sweep(t.Context(), h.client, before.Borrowed); err != nil {
		t.Error(err)
	}
	h.wantNoTrace(t)
	if img := h.images(t, ids[0])[0]; !slices.Equal(img.References, []string{"demo-api:1"}) {
		t.Errorf("the image has the names %q", img.References)
	}
	if img := h.images(t, ids[1])[0]; len(img.References) > 0 {
		t.Errorf("the untagged image has the names %q", img.References)
	}
}

func TestSweepLeavesRunsAtWork(t *testing.T) {
	h := setup(t)
	id := h.Load(t, sample("one", "demo-api:1"))[0]
	swept := false
	res, err := h.pushWith(t, t.Context(), &meddled{after: func() {
		s, err := h.client.Snapshot(t.Context())
		if err != nil || len(s.Borrowed) != 1 {
			t.Errorf("snapshot has %+v, %v; want the name that is lent", s.Borrowed, err)
			return
		}
		if err := push.Sweep(t.Context(), h.client, s.Borrowed); err != nil {
			t.Error(err)
		}
		swept = h.ID(t, s.Borrowed[0].Name) != id
	}}, id)
	if err != nil || res.Err != nil || swept {
		t.Errorf("error = %v, %v, swept = %v; want the name of a run at work to stay", err, res.Err, swept)
	}
}
