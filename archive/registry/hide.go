package registry

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/archive"
)

// hide takes back the views of records that are forgotten, in a registry that
// deletes; in another they stay. Only what lies beside the record's own manifest
// is taken for the archive's: the same image may have been pushed there by
// somebody else. What shares a manifest with it is shown again afterwards.
func (s *Store) hide(ctx context.Context, catalog *archive.Catalog) error {
	wanted := map[string]digest.Digest{}
	for _, v := range s.views(catalog) {
		wanted[v.String()] = v.record.View.Digest
	}
	for _, r := range catalog.Forgotten {
		if s.isHidden(r) {
			continue
		}
		err := s.hideRecord(ctx, r, wanted)
		if errors.Is(err, ErrNoDeletion) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("views of record %s: %w", r.Name(), err)
		}
		s.mu.Lock()
		s.hidden[r.Name()] = true
		s.mu.Unlock()
	}
	for _, r := range catalog.Records { // it may have been brought back
		s.mu.Lock()
		delete(s.hidden, r.Name())
		s.mu.Unlock()
	}
	return nil
}

func (s *Store) isHidden(r *archive.Record) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.hidden[r.Name()]
}

func (s *Store) hideRecord(ctx context.Context, r *archive.Record, wanted map[string]digest.Digest) error {
	record, err := s.headManifest(ctx, s.truth().Tag(r.Name()))
	if err != nil || record == "" {
		return err
	}
	for _, v := range s.viewsOf(r) {
		if wanted[v.String()] == r.View.Digest {
			continue // it shows another record of the same image
		}
		if err := s.hideView(ctx, v, record, wanted); err != nil {
			return err
		}
	}
	return nil
}

// viewsOf are all views that a record could ever be.
func (s *Store) viewsOf(r *archive.Record) []view {
	var views []view
	for _, ref := range r.References {
		if repo, tag, err := ViewOf(ref); err == nil {
			views = append(views, view{s.repo(repo), tag, r})
		}
	}
	if len(r.References) == 0 {
		repo, tag := untaggedView(r.ImageID)
		views = append(views, view{s.repo(repo), tag, r})
	}
	return views
}

func (s *Store) hideView(ctx context.Context, v view, record digest.Digest, wanted map[string]digest.Digest) error {
	beside, err := s.headManifest(ctx, v.repo.Digest(record.String()))
	if err != nil || beside == "" {
		return err
	}
	image := v.record.View.Digest
	now, err := s.headManifest(ctx, v.repo.Tag(v.tag))
	if err != nil {
		return err
	}
	if now == image || !needed(v.repo, image, wanted) {
		// A registry removes all tags of a manifest with it.
		if err := s.deleteManifest(ctx, v.repo, image); err != nil {
			return err
		}
		s.unshow(v.repo, image)
	}
	return s.dropReferrer(ctx, v.repo, image, record)
}

// needed reports whether a view of that repository is that manifest.
func needed(repo name.Repository, image digest.Digest, wanted map[string]digest.Digest) bool {
	for v, d := range wanted {
		if d == image && strings.HasPrefix(v, repo.Name()+":") {
			return true
		}
	}
	return false
}

// unshow forgets that views of a repository show a manifest, and that it is a
// blob there: Docker's registry removes both.
func (s *Store) unshow(repo name.Repository, image digest.Digest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.mounted, repo.String()+"@"+image.String())
	maps.DeleteFunc(s.shown, func(v string, d digest.Digest) bool {
		return d == image && strings.HasPrefix(v, repo.Name()+":")
	})
}

// dropReferrer removes the record's manifest from beside a view, and the tag of
// referrers: what else it should name is entered when it is shown again.
func (s *Store) dropReferrer(ctx context.Context, repo name.Repository, image, record digest.Digest) error {
	if err := s.deleteManifest(ctx, repo, record); err != nil {
		return err
	}
	tag := repo.Tag(strings.Replace(image.String(), ":", "-", 1))
	index, err := s.headManifest(ctx, tag)
	if err != nil || index == "" {
		return err
	}
	return s.deleteManifest(ctx, repo, index)
}
