package docker

import (
	"errors"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/engine/enginetest"
)

var lent = engine.BorrowedName("127.0.0.1:9", "RUN", 0)

// The last name of an image can be taken back, and the image stays: untagged,
// as it would be had somebody moved the name.
func TestReleaseKeepsTheImage(t *testing.T) {
	for name, names := range map[string][]string{"a tagged image": {"demo-api:1"}, "an untagged image": nil} {
		t.Run(name, func(t *testing.T) {
			e, c := setup(t)
			id := e.Load(t, sample("one", names...))[0]
			if err := c.Tag(t.Context(), id, lent); err != nil {
				t.Fatal(err)
			}
			if err := c.Release(t.Context(), lent); err != nil {
				t.Fatal(err)
			}
			wantAlone(t, c, id, names...)
			if err := c.Release(t.Context(), lent); err != nil {
				t.Errorf("releasing a name that nobody has: %v", err)
			}
		})
	}
}

// wantAlone checks that the engine has this image with these names, and no
// other.
func wantAlone(t *testing.T, c *Client, id digest.Digest, names ...string) {
	t.Helper()
	images, err := c.Images(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(images) != 1 || images[0].ID != id || len(images[0].References) != len(names) {
		t.Errorf("images = %+v, want %s with the names %q", images, id, names)
	}
}

func TestReleaseTakesNoOtherName(t *testing.T) {
	e, c := setup(t)
	id := e.Load(t, sample("one", "demo-api:1", "127.0.0.1:5000/team/push:1"))[0]
	for _, name := range []string{"demo-api:1", "127.0.0.1:5000/team/push:1", id.String()} {
		if err := c.Release(t.Context(), name); err == nil {
			t.Errorf("Release(%s) succeeds", name)
		}
	}
	wantAlone(t, c, id, "127.0.0.1:5000/team/push:1", "demo-api:1")
}

// A run that is killed while it takes a name back leaves a placeholder.
func TestRemovePlaceholder(t *testing.T) {
	_, c := setup(t)
	for _, tagged := range []bool{false, true} {
		id, err := c.placeholder(t.Context(), lent)
		if err != nil {
			t.Fatal(err)
		}
		if tagged {
			if err := c.Tag(t.Context(), id, lent); err != nil {
				t.Fatal(err)
			}
		}
		s, err := c.Snapshot(t.Context())
		if err != nil || len(s.Images) != 0 || len(s.Borrowed) != 1 || s.Borrowed[0] != (engine.Borrowed{Name: lent, Placeholder: id.String()}) {
			t.Errorf("snapshot = %+v, %v; want the placeholder apart from images", s, err)
		}
		if err := c.RemovePlaceholder(t.Context(), id); err != nil {
			t.Error(err)
		}
		if images, err := c.Images(t.Context()); err != nil || len(images) > 0 {
			t.Errorf("images = %+v, %v", images, err)
		}
	}
}

// Somebody may build on a placeholder, or give it a name of their own.
func TestRemovePlaceholderRemovesNothingElse(t *testing.T) {
	e, c := setup(t)
	label := map[string]string{engine.PlaceholderLabel: lent}
	built := e.Load(t, enginetest.Image{Layers: sample("one").Layers, Labels: label})[0]
	if err := c.RemovePlaceholder(t.Context(), built); !errors.Is(err, engine.ErrConflict) {
		t.Errorf("error = %v, want ErrConflict", err)
	}
	named, err := c.placeholder(t.Context(), lent)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Tag(t.Context(), named, "mine:1"); err != nil {
		t.Fatal(err)
	}
	if err := c.RemovePlaceholder(t.Context(), named); !errors.Is(err, engine.ErrConflict) {
		t.Errorf("error = %v, want ErrConflict", err)
	}
	if e.ID(t, built.String()) != built || e.ID(t, "mine:1") != named {
		t.Error("an image is gone")
	}
}

func TestBorrowedAt(t *testing.T) {
	for name, want := range map[string]string{
		lent: "127.0.0.1:9", "127.0.0.1:61377/archprune/push@" + digest.FromString("x").String(): "127.0.0.1:61377",
		"127.0.0.1:9/archprune/push": "", "127.0.0.1:9/archprune/pushed:1": "", "127.0.0.1:9/archprune/push/er:1": "",
		"archprune/push:1": "", "localhost:9/archprune/push:1": "", "demo-api:1": "", "": "",
	} {
		if got, ok := engine.BorrowedAt(name); ok != (want != "") || ok && got != want {
			t.Errorf("BorrowedAt(%q) = %q, %v; want %q", name, got, ok, want)
		}
	}
}
