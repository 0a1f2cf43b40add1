package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"sync"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/internal/digestio"
)

const (
	maxDepth = 8       // of indexes within indexes
	maxParts = 1 << 12 // manifests of one image
)

// view is a record under a name that other tools pull it by.
type view struct {
	repo   name.Repository
	tag    string
	record *archive.Record
}

func (v view) String() string { return v.repo.Tag(v.tag).Name() }

// Refresh implements [archive.Storage]: it brings the views in line with the
// records. A record may be added meanwhile, so it looks again until nothing has
// changed. What fails for one view is told, and the others go on.
func (s *Store) Refresh(ctx context.Context, read func(context.Context) (*archive.Catalog, error)) error {
	catalog, err := read(ctx)
	for range 10 {
		if err != nil {
			return fmt.Errorf("renewing what other tools pull: %w", err)
		}
		if err := errors.Join(s.hide(ctx, catalog), s.show(ctx, catalog)); err != nil {
			return fmt.Errorf("renewing what other tools pull: %w", err)
		}
		before := len(catalog.Records)
		if catalog, err = read(ctx); err == nil && len(catalog.Records) == before {
			return nil
		}
	}
	return nil
}

// show pushes the views that are not there, one after another in each
// repository: the tag of referrers is read, changed and written there.
func (s *Store) show(ctx context.Context, catalog *archive.Catalog) error {
	var failed failures
	views := s.views(catalog)
	behind := make([]bool, len(views))
	err := failed.each(ctx, len(views), func(ctx context.Context, i int) (err error) {
		behind[i], err = s.behind(ctx, views[i])
		return wrap(views[i], err)
	})
	if err != nil {
		return err
	}
	repos, byRepo := []string{}, map[string][]view{}
	for i, v := range views {
		if !behind[i] {
			continue
		}
		repo := v.repo.String()
		if byRepo[repo] == nil {
			repos = append(repos, repo)
		}
		byRepo[repo] = append(byRepo[repo], v)
	}
	err = failed.each(ctx, len(repos), func(ctx context.Context, i int) error {
		for _, v := range byRepo[repos[i]] {
			if err := failed.note(wrap(v, s.pushView(ctx, v))); err != nil {
				return err
			}
		}
		return nil
	})
	return errors.Join(err, failed.all())
}

func wrap(v view, err error) error {
	if err != nil {
		err = fmt.Errorf("%s: %w", v, err)
	}
	return err
}

// failures are what went wrong with some of many views.
type failures struct {
	mu   sync.Mutex
	errs []error
}

// note keeps an error for later, or returns it where there is no going on: a
// registry that does not answer won't do so for the next view. Damage is not
// for a view to tell.
func (f *failures) note(err error) error {
	var answer *Error
	switch {
	case err == nil, errors.Is(err, errDamaged):
		return nil
	case errors.As(err, &answer) && (answer.Status == 0 || unavailable(answer.Status)), errors.Is(err, context.Canceled):
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.errs = append(f.errs, err)
	return nil
}

func (f *failures) all() error { return errors.Join(f.errs...) }

// each calls do for 0 to n-1, several at a time.
func (f *failures) each(ctx context.Context, n int, do func(context.Context, int) error) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(maxRequests)
	for i := range n {
		g.Go(func() error { return f.note(do(ctx, i)) })
	}
	return g.Wait()
}

// views are the newest record of each reference, and of each image that has
// none.
func (s *Store) views(catalog *archive.Catalog) []view {
	var views []view
	for ref, r := range catalog.Newest() {
		if repo, tag, err := ViewOf(ref); err == nil {
			views = append(views, view{s.repo(repo), tag, r})
		}
	}
	seen := map[digest.Digest]bool{}
	for _, r := range catalog.Records {
		if len(r.References) == 0 && !seen[r.ImageID] {
			repo, tag := untaggedView(r.ImageID)
			views = append(views, view{s.repo(repo), tag, r})
		}
		seen[r.ImageID] = true
	}
	return views
}

// errDamaged means that a view can't be had since the archive is damaged.
var errDamaged = errors.New("the archive is damaged")

// damaged tells damage from other errors of reading the archive.
func damaged(err error) error {
	if isNotFound(err) || errors.Is(err, digestio.ErrMismatch) {
		return fmt.Errorf("%w: %w", errDamaged, err)
	}
	return err
}

// errForeign protects what somebody else has pushed.
var errForeign = errors.New("there is an image of that name which is not from this archive; it was left as it is")

// behind reports whether a view has to be pushed.
func (s *Store) behind(ctx context.Context, v view) (bool, error) {
	s.mu.Lock()
	done := s.shown[v.String()] == v.record.View.Digest
	s.mu.Unlock()
	if done {
		return false, nil
	}
	now, err := s.headManifest(ctx, v.repo.Tag(v.tag))
	switch {
	case status(err) == http.StatusInternalServerError: // as for a manifest that the registry can't read
		return true, nil
	case err != nil:
		return false, err
	case now == v.record.View.Digest:
		s.showing(v)
		return false, nil
	case now != "" && !s.ours(ctx, now):
		return false, errForeign
	}
	return true, nil
}

// showing notes that a view is in line with the records.
func (s *Store) showing(v view) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.shown[v.String()] = v.record.View.Digest
}

// ours reports whether a manifest is, or was, one of the archive.
func (s *Store) ours(ctx context.Context, d digest.Digest) bool {
	_, err := s.headBlob(ctx, s.truth(), d)
	return err == nil
}

// pushView pushes a record's view with its record beside it. The tag comes
// last: it never names an image that is not whole.
func (s *Store) pushView(ctx context.Context, v view) error {
	m, err := s.pushParts(ctx, v.repo, v.record.View, maxDepth, map[digest.Digest]bool{})
	if err != nil {
		return err
	}
	if err := s.pushReferrer(ctx, v); err != nil {
		return fmt.Errorf("its record: %w", err)
	}
	if err := s.putManifest(ctx, v.repo.Tag(v.tag), m); err != nil {
		return err
	}
	s.showing(v)
	return nil
}

// pushParts pushes what a manifest or index leads to, but for what was pushed,
// and returns the manifest itself.
func (s *Store) pushParts(ctx context.Context, repo name.Repository, d ocispec.Descriptor, depth int, pushed map[digest.Digest]bool) (manifest, error) {
	switch {
	case depth == 0:
		return manifest{}, errors.New("indexes are nested too deeply")
	case d.Digest.Validate() != nil:
		return manifest{}, fmt.Errorf("an index names a manifest %.80q", d.Digest)
	case len(pushed) >= maxParts:
		return manifest{}, fmt.Errorf("more than %d manifests", maxParts)
	}
	pushed[d.Digest] = true
	data, err := s.readBytes(ctx, s.truth(), d)
	if err != nil {
		return manifest{}, damaged(err)
	}
	var parsed struct {
		Config    *ocispec.Descriptor  `json:"config"`
		Layers    []ocispec.Descriptor `json:"layers"`
		Manifests []ocispec.Descriptor `json:"manifests"`
	}
	if err := json.Unmarshal(data, &parsed); err != nil {
		return manifest{}, fmt.Errorf("manifest %s: %w", d.Digest, err)
	}
	for _, child := range parsed.Manifests {
		if pushed[child.Digest] {
			continue
		}
		m, err := s.pushParts(ctx, repo, child, depth-1, pushed)
		if err == nil {
			err = s.putManifest(ctx, repo.Digest(child.Digest.String()), m)
		}
		if err != nil {
			return manifest{}, err
		}
	}
	if parsed.Config != nil {
		if err := s.lend(ctx, repo, append(parsed.Layers, *parsed.Config)); err != nil {
			return manifest{}, err
		}
	}
	return manifest{d.MediaType, data}, nil
}

// pushReferrer pushes the record's manifest to the repository of its view.
func (s *Store) pushReferrer(ctx context.Context, v view) error {
	s.mu.Lock()
	m, known := s.written[v.record.Name()]
	s.mu.Unlock()
	if !known {
		var err error
		if m, err = s.recordManifest(ctx, v.record.Name()); err != nil {
			return err
		}
	}
	parsed, err := m.parse(recordType)
	if err != nil {
		return err
	}
	if err := s.lend(ctx, v.repo, append(parsed.Layers, parsed.Config)); err != nil {
		return err
	}
	return s.putReferrer(ctx, v.repo, m)
}

// lend makes blobs of the archive blobs of another repository.
func (s *Store) lend(ctx context.Context, to name.Repository, blobs []ocispec.Descriptor) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(maxRequests)
	for _, b := range blobs {
		g.Go(func() error {
			if err := s.lendOne(ctx, to, b); err != nil {
				return fmt.Errorf("blob %s: %w", b.Digest, err)
			}
			return nil
		})
	}
	return g.Wait()
}

func (s *Store) lendOne(ctx context.Context, to name.Repository, b ocispec.Descriptor) error {
	key := to.String() + "@" + b.Digest.String()
	_, err, _ := s.once.Do("lend "+key, func() (any, error) {
		s.mu.Lock()
		done := s.mounted[key]
		s.mu.Unlock()
		if done {
			return nil, nil
		}
		size, err := s.headBlob(ctx, to, b.Digest)
		if isNotFound(err) || err == nil && size != b.Size {
			err = s.bring(ctx, to, b)
		}
		if err != nil {
			return nil, err
		}
		s.mu.Lock()
		s.mounted[key] = true
		s.mu.Unlock()
		return nil, nil
	})
	return err
}

// bring mounts a blob in another repository, or sends it where the registry
// does not mount.
func (s *Store) bring(ctx context.Context, to name.Repository, b ocispec.Descriptor) error {
	mounted, err := s.mount(ctx, to, s.truth(), b.Digest)
	if err != nil || mounted {
		return err
	}
	r, err := s.openBlob(ctx, s.truth(), b.Digest)
	if err != nil {
		return damaged(err)
	}
	defer r.Close()
	spool, err := newSpool(s.temp)
	if err != nil {
		return err
	}
	defer spool.Close()
	if err := spool.fill(r, b); err != nil {
		return damaged(err)
	}
	return s.push(ctx, to, b, spool.file)
}
