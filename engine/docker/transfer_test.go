package docker

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/engine/enginetest"
)

func isNotFound(err error) bool { return errors.Is(err, engine.ErrNotFound) }

func save(t *testing.T, c *Client, names ...string) []byte {
	t.Helper()
	r, err := c.Save(t.Context(), names)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	data, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestSaveAndLoad(t *testing.T) {
	e, c := setup(t)
	id := e.Load(t, sample("x", "demo-api:2.3"))[0]
	for _, name := range []string{"demo-api:2.3", id.String(), id.Encoded()} {
		data := save(t, c, name)
		img := inspect(t, c, id.String())
		if _, err := c.Remove(t.Context(), img); err != nil {
			t.Fatal(err)
		}
		if err := enginetest.Insist(func() error { return c.Load(t.Context(), bytes.NewReader(data)) }); err != nil {
			t.Fatal(err)
		}
		if err := c.Tag(t.Context(), id, "demo-api:2.3"); err != nil {
			t.Fatal(err)
		}
		if got := inspect(t, c, id.String()); !slices.Equal(got.DiffIDs, img.DiffIDs) {
			t.Errorf("after save and load of %s the image is %+v, want %+v", name, got, img)
		}
	}
}

func TestSaveOfMissingImage(t *testing.T) {
	e, c := setup(t)
	e.Load(t, sample("x", "x:1"))
	for _, names := range [][]string{{"gone:1"}, {digest.FromString("gone").String()}, {"x:1", digest.FromString("gone").Encoded()}} {
		r, err := c.Save(t.Context(), names)
		if err == nil {
			r.Close()
		}
		if !isNotFound(err) {
			t.Errorf("Save(%s) = %v, want %v", names, err, engine.ErrNotFound)
		}
	}
	if _, err := c.Save(t.Context(), nil); err == nil {
		t.Error("Save of nothing succeeds")
	}
}

func TestLoadReportsErrors(t *testing.T) {
	e, c := setup(t)
	img := sample("x", "x:1")
	e.Load(t, img)
	data := save(t, c, "x:1")
	e.Reset(t)
	broken := errors.New("broken disk")
	for name, tar := range map[string]io.Reader{
		"garbage":         strings.NewReader(strings.Repeat("garbage ", 1000)),
		"cut in a layer":  bytes.NewReader(data[:len(data)/2]),
		"cut at the head": bytes.NewReader(data[:700]),
		"unreadable":      io.MultiReader(bytes.NewReader(data[:len(data)/2]), iotest.ErrReader(broken)),
	} {
		err := c.Load(t.Context(), tar)
		if err == nil {
			t.Errorf("Load of an archive that is %s succeeds", name)
		}
		if errors.Is(err, broken) != (name == "unreadable") || errors.Is(err, engine.ErrUnavailable) {
			t.Errorf("Load of an archive that is %s = %v", name, err)
		}
		t.Logf("%s: %v", name, err)
	}
}

// An engine may refuse before it has read all. The reader is the caller's
// again when Load returns.
func TestLoadStopsReading(t *testing.T) {
	e, _ := setup(t)
	w := tap(t, e)
	w.before = func(r *http.Request) int {
		if r.Method == http.MethodPost {
			return http.StatusInternalServerError
		}
		return 0
	}
	tar := &endless{}
	err := w.Load(t.Context(), tar)
	before := tar.reads // the race detector sees a read that goes on
	if err == nil || !strings.Contains(err.Error(), "made up by the test") {
		t.Errorf("Load = %v, want the engine's words", err)
	}
	time.Sleep(50 * time.Millisecond)
	if tar.reads != before {
		t.Errorf("%d more reads after Load returned", tar.reads-before)
	}
}

type endless struct{ reads int }

func (e *endless) Read(p []byte) (int, error) {
	e.reads++
	return len(p), nil
}

func TestDecodeLoad(t *testing.T) {
	for _, test := range []struct{ answer, want string }{
		{`{"stream":"Loaded image: x:1\n"}` + "\r\n", ""},
		{``, ""},
		{`{"stream":"a"}{"errorDetail":{"message":"no space"},"error":"no space"}{"stream":"b"}`, "no space"},
		{`{"error":"old form"}`, "old form"},
		{`{"errorDetail":{}}`, "reports an error"},
		{`{"stream":"Loaded image: x:1"}{"stream":"Error unpacking image x:1: no blob\n"}`, "Error unpacking image x:1: no blob"},
		{`{"stream":"Loaded image: x:1"}{"str`, "reading the engine's answer"},
		{`<html>`, "reading the engine's answer"},
	} {
		err := decodeLoad(strings.NewReader(test.answer))
		if (err != nil) != (test.want != "") || (err != nil && !strings.Contains(err.Error(), test.want)) {
			t.Errorf("decodeLoad(%s) = %v, want %q", test.answer, err, test.want)
		}
	}
}

// What containerd 1.7.24 said when a removal's garbage collection met a load.
func TestDecodeLoadOfCollectedLayers(t *testing.T) {
	reason := `failed to prepare extraction snapshot "extract-920196216-e8RN sha256:d31d": parent snapshot sha256:232f does not exist: not found`
	for answer, want := range map[string]bool{
		`{"errorDetail":{"message":"failed to unpack loaded image: ` + strings.ReplaceAll(reason, `"`, `\"`) + `"},"error":"x"}`: true,
		`{"stream":"Loaded image: x:1"}{"stream":"Error unpacking image x:1: ` + strings.ReplaceAll(reason, `"`, `\"`) + `\n"}`:  true,
		`{"errorDetail":{"message":"content sha256:232f does not exist: not found"}}`:                                            false,
	} {
		if err := decodeLoad(strings.NewReader(answer)); err == nil || errors.Is(err, engine.ErrCollected) != want {
			t.Errorf("decodeLoad(%s) = %v, that is engine.ErrCollected: want %v", answer, err, want)
		}
	}
}

func TestTagMovesName(t *testing.T) {
	e, c := setup(t)
	ids := e.Load(t, sample("x", "x:1"), sample("y", "y:1"))
	if err := c.Tag(t.Context(), ids[0], "y:1"); err != nil {
		t.Fatal(err)
	}
	wantNames(t, c, ids[0], "x:1", "y:1")
	if err := c.Tag(t.Context(), digest.FromString("gone"), "z:1"); !isNotFound(err) {
		t.Errorf("Tag of a missing image = %v, want %v", err, engine.ErrNotFound)
	}
}

func TestUntag(t *testing.T) {
	e, c := setup(t)
	if e.Store == engine.Classic {
		return // TestUntagNeedsASafeWay
	}
	ids := e.Load(t, sample("x", "x:1", "127.0.0.1:5000/tmp:t"), sample("y", "y:1"), sample("z"))
	conflict := func(what string, name string, id digest.Digest) {
		t.Helper()
		if err := c.Untag(t.Context(), name, id); !errors.Is(err, engine.ErrConflict) {
			t.Errorf("Untag of %s = %v, want a conflict", what, err)
		}
	}
	conflict("another image's last tag", "y:1", ids[0])
	conflict("another image's tag", "x:1", ids[1])
	conflict("the last tag", "y:1", ids[1])
	e.Tag(t, ids[2].String(), "tmp:1")
	conflict("an untagged image's only tag", "tmp:1", ids[2])
	if err := c.Untag(t.Context(), "gone:1", ids[0]); !isNotFound(err) {
		t.Errorf("Untag of a missing tag = %v, want %v", err, engine.ErrNotFound)
	}
	if err := c.Untag(t.Context(), "127.0.0.1:5000/tmp:t", ids[0]); err != nil {
		t.Error(err)
	}
	wantNames(t, c, ids[0], "x:1")
	wantNames(t, c, ids[1], "y:1")
	wantNames(t, c, ids[2], "tmp:1")
}

func TestUntagNeedsASafeWay(t *testing.T) {
	e, _ := setup(t)
	w := tap(t, e)
	if e.Store == engine.Containerd {
		w.answer = func(r *http.Response) error {
			if !strings.HasSuffix(r.Request.URL.Path, "/version") {
				return nil
			}
			return rewrite(r, func(v *map[string]any) { (*v)["ApiVersion"] = "1.43" })
		}
	}
	id := e.Load(t, sample("x", "x:1", "x:2"))[0]
	if err := w.Untag(t.Context(), "x:2", id); !errors.Is(err, engine.ErrUnsafe) {
		t.Errorf("Untag = %v, want %v", err, engine.ErrUnsafe)
	}
	wantNames(t, w.Client, id, "x:1", "x:2")
}

func TestUntagDropsDigestName(t *testing.T) {
	e, c := setup(t)
	if e.Store == engine.Classic {
		return // TestUntagNeedsASafeWay
	}
	id := e.Load(t, sample("x", "x:1"))[0]
	before := inspect(t, c, id.String())
	repo := startRegistry(t) + "/tmp"
	distribute(t, e, id, repo)
	if err := c.Untag(t.Context(), repo+":1", id); err != nil {
		t.Error(err)
	}
	after := inspect(t, c, id.String())
	if !slices.Equal(after.References, before.References) || !slices.Equal(after.RepoDigests, before.RepoDigests) {
		t.Errorf("names = %q and %q, want those before the push: %q and %q",
			after.References, after.RepoDigests, before.References, before.RepoDigests)
	}
}
