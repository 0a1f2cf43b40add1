package restore_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/engine/enginetest"
	"github.com/archprune/archprune/restore"
)

func TestNames(t *testing.T) {
	for name, tt := range map[string]struct {
		names []string
		as    string
		want  []string
	}{
		"one":                  {[]string{"demo-api:1"}, "", []string{"demo-api:1"}},
		"several":              {[]string{"demo-api:1", "demo-api:latest", "localhost:5000/team/api:1"}, "", []string{"demo-api:1", "demo-api:latest", "localhost:5000/team/api:1"}},
		"untagged":             {nil, "", nil},
		"another":              {[]string{"demo-api:1", "demo-api:2"}, "rollback:1", []string{"rollback:1"}},
		"another without tag":  {[]string{"demo-api:1"}, "rollback", []string{"rollback:latest"}},
		"a name for one of no": {nil, "docker.io/library/rollback:2", []string{"rollback:2"}},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			r := b.removed(t, sample("x", tt.names...))
			result := b.restore(t, b.client, r, restore.Options{As: tt.as})
			b.wantImage(t, r, tt.want...)
			if !slices.Equal(result.Names, tt.want) || len(result.Moved) > 0 {
				t.Errorf("result = %+v, want the names %q", result, tt.want)
			}
		})
	}
}

func TestImpossibleName(t *testing.T) {
	b := setup(t)
	r := b.removed(t, sample("x", "demo-api:1"))
	for _, as := range []string{"Demo:1", "demo:1:2", "demo@" + digest.FromString("x").String(), strings.Repeat("a", 64)} {
		h := &hooked{Client: b.client}
		if _, err := restore.Run(t.Context(), h, b.folder, r, restore.Options{As: as}); err == nil || h.loads > 0 {
			t.Errorf("Run as %q = %v with %d loads, want a refusal", as, err, h.loads)
		}
	}
	b.wantNames(t, nil)
}

func TestTakenNameIsRefused(t *testing.T) {
	b := setup(t)
	r := b.removed(t, sample("x", "demo-api:1", "demo-api:latest", "free:1"))
	other := b.Load(t, sample("y", "demo-api:latest", "rollback:latest"))[0]
	before := b.names(t)
	for _, as := range []string{"", "rollback", "rollback:latest"} {
		h := &hooked{Client: b.client}
		_, err := restore.Run(t.Context(), h, b.folder, r, restore.Options{As: as})
		var conflict *restore.ConflictError
		if !errors.As(err, &conflict) || len(conflict.Taken) != 1 || !strings.Contains(err.Error(), "--replace") {
			t.Fatalf("Run as %q = %v, want a conflict", as, err)
		}
		for name, id := range conflict.Taken {
			if id != other || before[name] != other {
				t.Errorf("conflict over %s with %s, want %s", name, id, other)
			}
		}
		if h.loads+h.tags > 0 {
			t.Errorf("%d loads and %d tags before the refusal", h.loads, h.tags)
		}
	}
	b.wantNames(t, before)
}

var replaced = regexp.MustCompile(`^demo-api:latest-replaced-\d{8}T\d{6}Z(-\d+)?$`)

func TestReplaceKeepsANameForTheOther(t *testing.T) {
	for name, tt := range map[string]struct {
		other []string // names of the image that is there
		to    string   // the name that it is left with; empty for a new one
	}{
		"its only name":             {[]string{"demo-api:latest"}, ""},
		"all its names":             {[]string{"demo-api:1", "demo-api:latest"}, ""},
		"one of its names":          {[]string{"demo-api:latest", "other:1"}, "other:1"},
		"two names and one is left": {[]string{"demo-api:1", "demo-api:latest", "other:1"}, "other:1"},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			r := b.removed(t, sample("x", "demo-api:1", "demo-api:latest"))
			other := b.Load(t, sample("y", tt.other...))[0]
			result := b.restore(t, b.client, r, restore.Options{Replace: true})
			b.wantImage(t, r, "demo-api:1", "demo-api:latest")
			left, err := b.client.Inspect(t.Context(), other.String())
			if err != nil || len(left.References) != 1 {
				t.Fatalf("the other image has the names %q (%v), want one", left.References, err)
			}
			if tt.to != "" && left.References[0] != tt.to || tt.to == "" && !strings.Contains(left.References[0], "-replaced-") {
				t.Errorf("the other image is called %s, want %q", left.References[0], tt.to)
			}
			if len(result.Moved) == 0 {
				t.Error("the result says nothing of the image that was replaced")
			}
			for _, m := range result.Moved {
				if m.ID != other || m.To != left.References[0] || !slices.Contains(tt.other, m.From) {
					t.Errorf("Moved = %+v, want %s to %s", m, other, left.References[0])
				}
			}
		})
	}
}

// Scripts replace faster than the clock of a name ticks.
func TestReplaceManyTimesInASecond(t *testing.T) {
	b := setup(t)
	want := map[digest.Digest]bool{}
	var records []*archive.Record
	for i := range 4 {
		r := b.removed(t, sample(fmt.Sprint("x", i), "demo-api:latest"))
		records = append(records, r)
		want[r.ImageID] = true
	}
	for _, r := range records {
		b.restore(t, b.client, r, restore.Options{Replace: true})
	}
	for name, id := range b.names(t) {
		if name != "demo-api:latest" && !replaced.MatchString(name) {
			t.Errorf("%s is called %s", id, name)
		}
		delete(want, id)
	}
	if len(want) > 0 {
		t.Errorf("%d images have lost their names", len(want))
	}
}

// The k-th tag fails, before the engine has given it or after, or the user
// has had enough just then. In the end all is as it was.
func TestFailureOfANameTakesAllBack(t *testing.T) {
	fails := map[string]func(b bench, cancel func()) func(context.Context, digest.Digest, string) error{
		"refused": func(bench, func()) func(context.Context, digest.Digest, string) error {
			return func(context.Context, digest.Digest, string) error { return errMadeUp }
		},
		"answer lost": func(b bench, _ func()) func(context.Context, digest.Digest, string) error {
			return func(ctx context.Context, id digest.Digest, name string) error {
				return errors.Join(b.client.Tag(ctx, id, name), errMadeUp)
			}
		},
		"interrupted": func(b bench, cancel func()) func(context.Context, digest.Digest, string) error {
			return func(ctx context.Context, id digest.Digest, name string) error {
				cancel()
				return b.client.Tag(ctx, id, name)
			}
		},
	}
	for name, fail := range fails {
		for _, present := range []bool{false, true} {
			for k := 1; k <= 5; k++ { // four names, of which two take a name away from others: one needs a new one
				t.Run(fmt.Sprintf("%s/present=%v/%d", name, present, k), func(t *testing.T) {
					failAtTag(t, k, present, fail)
				})
			}
		}
	}
}

func failAtTag(t *testing.T, k int, present bool, fail func(bench, func()) func(context.Context, digest.Digest, string) error) {
	b := setup(t)
	x := sample("x", "a:1", "b:1", "c:1", "d:1")
	r := b.removed(t, x)
	if present {
		x.Names = []string{"own:1", "a:1"}
		b.Load(t, x)
		x.Names = nil
	}
	b.Load(t, sample("y", "b:1"), sample("z", "c:1", "z:1"))
	before := b.names(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	bad := fail(b, cancel)
	h := &hooked{Client: b.client}
	h.tag = func(ctx context.Context, n int, id digest.Digest, name string) error {
		if n == k {
			return bad(ctx, id, name)
		}
		return b.client.Tag(ctx, id, name)
	}
	result, err := restore.Run(ctx, h, b.folder, r, restore.Options{Replace: true})
	if present && k == 5 { // it had one of the names already
		if err != nil || len(result.Names) != 4 {
			t.Errorf("Run = %+v, %v, want it done", result, err)
		}
		return
	}
	if !errors.Is(err, errMadeUp) && !errors.Is(err, context.Canceled) {
		t.Errorf("Run = %v, want the failure", err)
	}
	if len(result.Names)+len(result.Moved) > 0 {
		t.Errorf("result = %+v, want no names", result)
	}
	b.wantNamesBack(t, before, err)
	if present {
		return
	}
	if errors.Is(err, engine.ErrUnsafe) && b.Differs(t, enginetest.SeveralNamesStay) {
		return // it was given several names, which the error tells
	}
	if b.ID(t, r.ImageID.String()) != "" {
		t.Error("the image is still there")
	}
}

// While the layers are sent somebody else takes one of the names. It was not
// said that this image may lose it.
func TestNameTakenMeanwhile(t *testing.T) {
	for _, replace := range []bool{false, true} {
		t.Run(fmt.Sprint("replace=", replace), func(t *testing.T) {
			b := setup(t)
			r := b.removed(t, sample("x", "a:1", "b:1"))
			b.Load(t, sample("y", "y:1"), sample("z", "z:1"))
			if replace {
				b.Tag(t, "z:1", "b:1")
			}
			want := b.names(t)
			want["b:1"] = want["y:1"]
			h := &hooked{Client: b.client}
			h.load = func(ctx context.Context, _ int, tar io.Reader) error {
				b.Tag(t, "y:1", "b:1")
				return h.give(ctx, tar)
			}
			_, err := restore.Run(t.Context(), h, b.folder, r, restore.Options{Replace: replace})
			if err == nil || !strings.Contains(err.Error(), "b:1") || !strings.Contains(err.Error(), "just been given") {
				t.Errorf("Run = %v, want the reason", err)
			}
			b.wantNames(t, want)
		})
	}
}

// Where only free names are to be given, one that is taken meanwhile is none.
func TestFreeNameTakenMeanwhile(t *testing.T) {
	b := setup(t)
	r := b.removed(t, sample("x", "a:1", "b:1"))
	b.Load(t, sample("y", "y:1"))
	h := &hooked{Client: b.client}
	h.load = func(ctx context.Context, _ int, tar io.Reader) error {
		b.Tag(t, "y:1", "b:1")
		return h.give(ctx, tar)
	}
	result := b.restore(t, h, r, restore.Options{FreeOnly: true})
	if want := []string{"a:1"}; !slices.Equal(result.Names, want) {
		t.Errorf("Names = %q, want %q", result.Names, want)
	}
	b.wantImage(t, r, "a:1")
	if got := b.ID(t, "b:1"); got != b.ID(t, "y:1") {
		t.Errorf("b:1 is %s, but it was somebody else's", got)
	}
}

// Somebody names or uses the image before it could be taken back: then it is
// theirs too.
func TestTakingBackSparesWhatOthersNamed(t *testing.T) {
	b := setup(t)
	r := b.removed(t, sample("x", "a:1", "b:1"))
	h := &hooked{Client: b.client}
	h.tag = func(ctx context.Context, n int, id digest.Digest, name string) error {
		if n == 2 {
			b.Tag(t, id.String(), "theirs:1")
			return errMadeUp
		}
		return b.client.Tag(ctx, id, name)
	}
	_, err := restore.Run(t.Context(), h, b.folder, r, restore.Options{})
	if !errors.Is(err, errMadeUp) {
		t.Errorf("Run = %v, want %v", err, errMadeUp)
	}
	b.wantNamesBack(t, map[string]digest.Digest{"theirs:1": b.ID(t, r.ImageID.String())}, err)
}

func TestUnreachableEngine(t *testing.T) {
	b := setup(t)
	r := b.removed(t, sample("x", "a:1"))
	before := b.names(t)
	h := &hooked{Client: b.client}
	h.inspect = func(engine.Image, error) (engine.Image, error) { return engine.Image{}, errMadeUp }
	if _, err := restore.Run(t.Context(), h, b.folder, r, restore.Options{}); !errors.Is(err, errMadeUp) || h.loads > 0 {
		t.Errorf("Run = %v with %d loads, want %v", err, h.loads, errMadeUp)
	}
	b.wantNames(t, before)
}
