package archive_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/archive/retention"
)

// later is an archive as a process sees it some time later: what is there now
// has got older by that time, what is written or touched from now on has not.
// Between its looks and its deeds others may do something.
type later struct {
	archive.Storage
	archive.Collector
	by    time.Duration
	since time.Time

	beforeBlob, beforeRecord, afterRecord, beforeMark func()

	refuse error                     // to remove records
	cutoff atomic.Pointer[time.Time] // that it was told last
}

func newLater(t testing.TB, f *archive.Archive, by time.Duration) (*archive.Archive, *later) {
	t.Helper()
	return laterWith(t, f, by, archive.Options{})
}

func laterWith(t testing.TB, f *archive.Archive, by time.Duration, opts archive.Options) (*archive.Archive, *later) {
	t.Helper()
	own, err := archive.OpenFolder(f.Location(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { own.Close() })
	store := archive.StorageOf(own)
	l := &later{Storage: store, Collector: store.(archive.Collector), by: by}
	now := func() time.Time {
		at, err := l.Collector.Now(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	// The clock of files moves in steps: from here on it is in the next.
	for l.since = now(); !now().After(l.since); {
	}
	return archive.New(l, opts), l
}

func (l *later) Now(ctx context.Context) (time.Time, error) {
	now, err := l.Collector.Now(ctx)
	return now.Add(l.by), err
}

func (l *later) Blobs(ctx context.Context) ([]archive.BlobInfo, error) {
	blobs, err := l.Collector.Blobs(ctx)
	for i, b := range blobs {
		if b.Used.After(l.since) {
			blobs[i].Used = b.Used.Add(l.by)
		}
	}
	return blobs, err
}

func (l *later) RemoveBlob(ctx context.Context, d digest.Digest, after time.Time, named func(context.Context) (bool, error)) (int64, error) {
	if l.beforeBlob != nil {
		l.beforeBlob()
	}
	cutoff := after
	l.cutoff.Store(&cutoff)
	if after.After(l.since) {
		after = l.since
	}
	return l.Collector.RemoveBlob(ctx, d, after, named)
}

func (l *later) RemoveRecord(ctx context.Context, r *archive.Record) error {
	if l.refuse != nil {
		return l.refuse
	}
	if l.beforeRecord != nil {
		l.beforeRecord()
	}
	err := l.Storage.RemoveRecord(ctx, r)
	if l.afterRecord != nil {
		l.afterRecord()
	}
	return err
}

func (l *later) Mark(ctx context.Context, m archive.Mark) error {
	if l.beforeMark != nil {
		l.beforeMark()
	}
	return l.Storage.Mark(ctx, m)
}

// at is the present as such a process sees it.
func (l *later) at() time.Time { return time.Now().Add(l.by) }

func (l *later) terms(grace time.Duration) retention.Terms {
	return retention.Terms{Now: l.at(), Grace: grace}
}
