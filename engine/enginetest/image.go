package enginetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/docker/docker/client"
	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/engine"
)

// Image is an image to give to an engine. Images that differ in their names
// alone have the same ID.
type Image struct {
	Names   []string // such as demo-api:2.3; none for an untagged image
	Layers  []Layer  // lowest first
	Labels  map[string]string
	Created time.Time // a fixed day where zero
	Cmd     []string
	Env     []string
}

// Load gives the engine images, in one call, and returns their full IDs in the
// same order. The archive is made while it is sent: layers never lie in memory
// or on disk.
func (e *Engine) Load(t testing.TB, images ...Image) []digest.Digest {
	t.Helper()
	var ids []digest.Digest
	err := Insist(func() (err error) {
		ids, err = e.load(images)
		return err
	})
	if err != nil {
		t.Fatalf("loading %d images: %v", len(images), err)
	}
	return ids
}

// Insist calls what gives an engine an image, and again where the garbage
// collection after an earlier removal took a layer meanwhile.
func Insist(give func() error) error {
	for left := 3; ; left-- {
		err := give()
		if err == nil || left == 0 || !errors.Is(err, engine.ErrCollected) && !strings.Contains(err.Error(), "parent snapshot") {
			return err
		}
	}
}

func (e *Engine) load(images []Image) ([]digest.Digest, error) {
	a, err := describe(images)
	if err != nil {
		return nil, err
	}
	if e.flavour.podman {
		a.dropLayout()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Minute)
	defer cancel()
	r, w := io.Pipe()
	defer r.Close()
	go func() { w.CloseWithError(a.write(w)) }()
	res, err := e.api.ImageLoad(ctx, r, client.ImageLoadWithQuiet(true))
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if err := readLoad(res.Body); err != nil {
		return nil, err
	}
	var ids []digest.Digest
	for _, img := range a.images {
		id := img.config
		if e.Store == engine.Containerd {
			id = img.manifest
		}
		if _, err := e.api.ImageInspect(ctx, id.String()); err != nil {
			return nil, fmt.Errorf("the engine took the images without a complaint: %w", err)
		}
		ids = append(ids, id)
	}
	return ids, nil
}

// readLoad reads the engine's answer, which has status 200 whatever happened.
func readLoad(r io.Reader) error {
	for dec := json.NewDecoder(r); ; {
		var msg struct {
			Stream string
			Error  string
		}
		if err := dec.Decode(&msg); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if msg.Error != "" {
			return errors.New(msg.Error)
		}
		// The containerd image store does not count this as an error.
		if strings.HasPrefix(msg.Stream, "Error unpacking") {
			return errors.New(strings.TrimSpace(msg.Stream))
		}
	}
}
