package registry

import (
	"context"
	"errors"
	"regexp"
	"strings"

	"github.com/opencontainers/go-digest"
)

const (
	proofsType   = "application/vnd.archprune.proofs.v1+json"
	proofsPrefix = "proofs-"
)

// plainTag is what of a host's name may stand in a tag as it is.
var plainTag = regexp.MustCompile(`^[A-Za-z0-9_.-]{1,100}$`)

func proofsTag(host string) string {
	if !plainTag.MatchString(host) {
		host = digest.FromString(host).Encoded()
	}
	return proofsPrefix + host
}

// Proofs implements [archive.Storage]. What can't be made sense of is left out.
func (s *Store) Proofs(ctx context.Context) ([][]byte, error) {
	tags, err := s.tags(ctx)
	if err != nil {
		return nil, err
	}
	var all [][]byte
	for _, tag := range tags {
		if !strings.HasPrefix(tag, proofsPrefix) {
			continue
		}
		data, err := s.readSmall(ctx, tag, proofsType)
		var failed *Error
		if errors.As(err, &failed) && !isNotFound(err) || ctx.Err() != nil {
			return nil, err
		}
		if err == nil {
			all = append(all, data)
		}
	}
	return all, nil
}

// NoteProofs implements [archive.Storage]. The document before is removed, where
// the registry removes: else each run would leave one for its garbage collector.
func (s *Store) NoteProofs(ctx context.Context, host string, document []byte) error {
	before, err := s.headManifest(ctx, s.truth().Tag(proofsTag(host)))
	if err != nil {
		return err
	}
	now, err := s.writeSmall(ctx, proofsTag(host), proofsType, document)
	if err == nil && before != "" && before != now {
		_ = s.deleteManifest(ctx, s.truth(), before)
	}
	return err
}
