package registry

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/archprune/archprune/archive"
)

const markType = "application/vnd.archprune.mark.v1+json"

// mark is an [archive.Mark] as it is kept. Taken is for a mark that was taken
// back in a registry that does not delete.
type mark struct {
	archive.Mark
	Taken bool `json:"taken_back,omitempty"`
}

func markTag(m archive.Mark) string { return string(m.Kind) + "-" + m.Record }

func markOf(tag string) (archive.Mark, bool) {
	kind, record, _ := strings.Cut(tag, "-")
	m := archive.Mark{Kind: archive.MarkKind(kind), Record: record}
	return m, (m.Kind == archive.Pinned || m.Kind == archive.Forgotten) && recordTag.MatchString(record)
}

// Marks implements [archive.Storage]. A mark whose content can't be made sense
// of counts from now on: it must neither be lost nor hide others.
func (s *Store) Marks(ctx context.Context, records ...string) ([]archive.Mark, error) {
	tags, err := s.possibleMarks(ctx, records)
	if err != nil {
		return nil, err
	}
	found := make([]*archive.Mark, len(tags))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(maxRequests)
	for i, tag := range tags {
		if m, ok := markOf(tag); ok {
			g.Go(func() (err error) {
				found[i], err = s.readMark(ctx, m)
				return err
			})
		}
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	var marks []archive.Mark
	for _, m := range found {
		if m != nil {
			marks = append(marks, *m)
		}
	}
	return marks, nil
}

// possibleMarks are the tags among which marks are, of these records or of all.
func (s *Store) possibleMarks(ctx context.Context, records []string) (tags []string, err error) {
	if len(records) == 0 {
		return s.tags(ctx)
	}
	for _, record := range records {
		for _, kind := range []archive.MarkKind{archive.Pinned, archive.Forgotten} {
			tags = append(tags, markTag(archive.Mark{Kind: kind, Record: record}))
		}
	}
	return tags, nil
}

// readMark returns nil for a mark that is no more.
func (s *Store) readMark(ctx context.Context, m archive.Mark) (*archive.Mark, error) {
	data, err := s.readSmall(ctx, markTag(m), markType)
	var failed *Error
	switch {
	case isNotFound(err):
		return nil, nil
	case errors.As(err, &failed), ctx.Err() != nil:
		return nil, err
	}
	var read mark
	if err != nil || json.Unmarshal(data, &read) != nil || read.Time.IsZero() && !read.Taken {
		m.Time = time.Now()
		return &m, nil
	}
	if read.Taken {
		return nil, nil
	}
	m.Time, m.Host = read.Time, read.Host
	return &m, nil
}

// Mark implements [archive.Storage].
func (s *Store) Mark(ctx context.Context, m archive.Mark) error {
	return s.writeMark(ctx, mark{Mark: m})
}

func (s *Store) writeMark(ctx context.Context, m mark) error {
	data, err := json.Marshal(m)
	if err != nil {
		return err
	}
	_, err = s.writeSmall(ctx, markTag(m.Mark), markType, data)
	return err
}

// Unmark implements [archive.Storage]. Where the registry does not delete, the
// mark is replaced by one that says that it does not hold.
func (s *Store) Unmark(ctx context.Context, m archive.Mark) error {
	d, err := s.headManifest(ctx, s.truth().Tag(markTag(m)))
	if err != nil || d == "" {
		return err
	}
	err = s.deleteManifest(ctx, s.truth(), d)
	if errors.Is(err, ErrNoDeletion) {
		return s.writeMark(ctx, mark{Mark: m, Taken: true})
	}
	return err
}
