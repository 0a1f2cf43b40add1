package retention

import (
	"cmp"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"
)

// DefaultMinAge is how old an unneeded blob has to be where nothing else is
// said: longer than any save takes.
const DefaultMinAge = 24 * time.Hour

// Forgotten is a record that was forgotten and not purged yet: it can be
// brought back.
type Forgotten struct {
	Name  string    // unique among the forgotten
	At    time.Time // when it was forgotten, by the clock of the host that did
	Blobs []digest.Digest
}

// Blob is one file of the archive.
type Blob struct {
	Digest   digest.Digest
	Size     int64     // bytes
	Modified time.Time // when it was written or needed last, by whatever clock the storage has
}

// Stock is what an archive holds. Blobs must be listed before the records are
// read, and a writer that finds a blob in place must renew its time before it
// relies on it: a blob that a record comes to need after it was listed is then
// young, or was not listed.
type Stock struct {
	Live      map[string][]digest.Digest // blobs of each record that was not forgotten, by record name
	Forgotten []Forgotten
	Blobs     []Blob
}

// Terms say how long to wait. Clocks of hosts may differ by [ClockSlack], which
// comes on top of either time.
type Terms struct {
	// Now is the present time. A clock that is far ahead makes everything look
	// old, which nothing here can notice: who passes it in has to hold it
	// against the storage's, by the time of a file just written there.
	Now time.Time

	// Grace is how long a forgotten record can be brought back. With 0 there
	// is no such promise, and it may be purged at once.
	Grace time.Duration

	// MinAge is how old a blob must be that no record needs. It may be about
	// to be needed by a record that another host is writing, so MinAge must
	// exceed the longest save. 0 is [DefaultMinAge].
	MinAge time.Duration

	// Alone promises that nobody writes to the archive meanwhile: a blob that
	// no record needs may then go whatever its age.
	Alone bool

	// Busy is since when other processes have been at work on the archive, by
	// the storage's clock; zero is that none is. What was written, needed or
	// forgotten since may be theirs, and stays, whatever else is said here.
	Busy time.Time
}

// Cutoff is the time after which a blob must not have been written or needed
// if it is to go.
func (t Terms) Cutoff() time.Time {
	cutoff := t.Now.Add(-time.Nanosecond) // clocks of files move in steps: what is of this one may be new
	if !t.Alone {
		cutoff = t.Now.Add(-cmp.Or(t.MinAge, DefaultMinAge) - ClockSlack)
	}
	if !t.Busy.IsZero() && !cutoff.Before(t.Busy) {
		return t.Busy.Add(-time.Nanosecond)
	}
	return cutoff
}

// Validate reports times that make no sense. The error wraps [ErrUsage].
func (t Terms) Validate() error {
	switch {
	case t.Grace < 0:
		return usagef("--grace %v: want a time of 0 or more, such as 168h", t.Grace)
	case t.MinAge < 0:
		return usagef("--min-age %v: want a time of 0 or more, such as 24h", t.MinAge)
	}
	return nil
}

// Collection is what may go for good. All of Purge has to be gone, and durably
// so, before the first of Delete goes: a record that is still there must have
// its blobs. If one can't be purged, ask again.
type Collection struct {
	Purge  []string // names of forgotten records, sorted
	Delete []Blob   // needed by nothing that stays, sorted by digest
	Young  []Blob   // needed by nothing either, but too young to go, sorted by digest
}

// Size adds up the bytes of the blobs in Delete. What deleting them frees only
// the storage can say.
func (c Collection) Size() int64 {
	var total int64
	for _, b := range c.Delete {
		total += b.Size
	}
	return total
}

// Collect says which forgotten records may be purged and which blobs may be
// deleted at the time t.Now. A blob that a live record names, or a forgotten
// one that stays, is never among the latter. A time in the future, or none at
// all, is young. The error is that of [Terms.Validate].
func Collect(s Stock, t Terms) (Collection, error) {
	if err := t.Validate(); err != nil {
		return Collection{}, err
	}
	var c Collection
	needed := make(map[digest.Digest]bool)
	for _, blobs := range s.Live {
		need(needed, blobs)
	}
	for _, f := range s.Forgotten {
		if s.mayPurge(f, t) {
			c.Purge = append(c.Purge, f.Name)
			continue
		}
		need(needed, f.Blobs)
	}
	cutoff := t.Cutoff()
	for _, b := range s.Blobs {
		switch {
		case needed[b.Digest]:
		case !b.Modified.IsZero() && !b.Modified.After(cutoff):
			c.Delete = append(c.Delete, b)
		default:
			c.Young = append(c.Young, b)
		}
	}
	slices.Sort(c.Purge)
	slices.SortFunc(c.Delete, compareBlobs)
	slices.SortFunc(c.Young, compareBlobs)
	return c, nil
}

// mayPurge reports whether f can go. Where a record is live and forgotten,
// somebody was interrupted while bringing it back or forgetting it: it stays.
func (s Stock) mayPurge(f Forgotten, t Terms) bool {
	if _, live := s.Live[f.Name]; live {
		return false
	}
	if !t.Busy.IsZero() && !f.At.Before(t.Busy) {
		return false // who is at work may have read it before
	}
	return t.Grace == 0 || over(f.At, t.Grace, t.Now)
}

// over reports whether a time that another host's clock gave is that long ago
// for certain.
func over(since time.Time, wait time.Duration, now time.Time) bool {
	return !since.IsZero() && !since.Add(wait).Add(ClockSlack).After(now)
}

func need(needed map[digest.Digest]bool, blobs []digest.Digest) {
	for _, b := range blobs {
		needed[b] = true
	}
}

func compareBlobs(a, b Blob) int {
	return cmp.Or(cmp.Compare(a.Digest, b.Digest), a.Modified.Compare(b.Modified), cmp.Compare(a.Size, b.Size))
}
