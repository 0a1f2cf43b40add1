package registry

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
)

const (
	maxPages = 1 << 14
	maxTags  = 1 << 20
	maxTag   = 128 // bytes, by the OCI distribution specification
)

// tags lists the tags of the archive's repository.
func (s *Store) tags(ctx context.Context) ([]string, error) {
	opts, err := s.conn.remote(ctx, s.truth(), transport.PullScope)
	if err != nil {
		return nil, err
	}
	puller, err := remote.NewPuller(opts...)
	if err != nil {
		return nil, err
	}
	lister, err := puller.Lister(ctx, s.truth())
	if err = s.conn.explain(err); isNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	pages := pages{host: s.conn.registry.RegistryStr(), seen: map[string]bool{}}
	var tags []string
	for lister.HasNext() {
		page, err := lister.Next(ctx)
		if err != nil {
			return nil, s.conn.explain(err)
		}
		for _, tag := range page.Tags {
			if len(tag) <= maxTag {
				tags = append(tags, tag)
			}
		}
		if err := pages.next(page.Next, len(tags)); err != nil {
			return nil, s.conn.broken(err)
		}
	}
	return tags, nil
}

// pages are those of a list, which must have an end.
type pages struct {
	host string
	seen map[string]bool
}

// next checks what a page says of the next one.
func (p *pages) next(link string, tags int) error {
	if link == "" {
		return nil
	}
	u, err := url.Parse(link)
	switch {
	case err != nil:
		return fmt.Errorf("%w: the next page of its tags is nowhere", errProtocol)
	case !strings.EqualFold(u.Hostname(), (&url.URL{Host: p.host}).Hostname()):
		return fmt.Errorf("%w: the next page of its tags is at %s", errProtocol, u.Host)
	case p.seen[link]:
		return fmt.Errorf("%w: the pages of its tags lead in a circle", errProtocol)
	case len(p.seen) >= maxPages || tags > maxTags:
		return fmt.Errorf("%w: the list of its tags does not end after %d tags and %d pages", errProtocol, tags, len(p.seen)+1)
	}
	p.seen[link] = true
	return nil
}
