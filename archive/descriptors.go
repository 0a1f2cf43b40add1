package archive

import (
	"bytes"
	"encoding/json"
	"fmt"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

const (
	maxListed = 1 << 14 // that one document lists: images, manifests or layers
	maxParts  = 1 << 12 // manifests and layers of one image
	// maxAllParts is for all images of a save.
	maxAllParts = 1 << 18
)

// list is a list in a document that somebody else wrote. It is read one by one,
// since a byte or two of JSON become a hundred in memory.
type list[T any] []T

// UnmarshalJSON implements [json.Unmarshaler].
func (l *list[T]) UnmarshalJSON(data []byte) error {
	*l = nil
	if string(data) == "null" {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(data))
	if start, err := dec.Token(); err != nil || start != json.Delim('[') {
		return fmt.Errorf("%.20q where a list should be", data)
	}
	for dec.More() {
		var one T
		if err := dec.Decode(&one); err != nil {
			return err
		}
		if *l = append(*l, one); len(*l) > maxListed {
			return fmt.Errorf("a list of more than %d", maxListed)
		}
	}
	return nil
}

// descriptors are a list of which each leads somewhere.
type descriptors []ocispec.Descriptor

// UnmarshalJSON implements [json.Unmarshaler].
func (d *descriptors) UnmarshalJSON(data []byte) error {
	var all list[sound]
	err := json.Unmarshal(data, &all)
	*d = make(descriptors, len(all))
	for i, one := range all {
		(*d)[i] = ocispec.Descriptor(one)
	}
	return err
}

// sound is a descriptor that has a digest.
type sound ocispec.Descriptor

// UnmarshalJSON implements [json.Unmarshaler].
func (s *sound) UnmarshalJSON(data []byte) error {
	if err := json.Unmarshal(data, (*ocispec.Descriptor)(s)); err != nil {
		return err
	}
	if err := s.Digest.Validate(); err != nil {
		return fmt.Errorf("digest %.80q: %w", s.Digest, err)
	}
	return nil
}
