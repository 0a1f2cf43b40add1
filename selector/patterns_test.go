package selector

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/archprune/archprune/engine"
)

func TestMatchReference(t *testing.T) {
	hex := strings.Repeat("0123456789abcdef", 4)
	for _, test := range []struct {
		patterns string // separated by spaces
		yes, no  string
	}{
		{"demo-api", "demo-api:1 demo-api docker.io/library/demo-api:2.3 demo-api@sha256:" + hex, "demo-apis:1 team/demo-api:1 ghcr.io/demo-api:1"},
		{"demo-api:*", "demo-api:1 demo-api@sha256:" + hex, "demo:1"},
		{"demo-api:2.?", "demo-api:2.3", "demo-api:2.10 demo-api:12.3 demo-api"},
		{"docker.io/library/demo-api:2.3", "demo-api:2.3", "demo-api:2 team/demo-api:2.3"},
		{"library/demo-api", "demo-api:1 demo-api docker.io/library/demo-api:1", "demo:1 team/demo-api:1 ghcr.io/library/demo-api:1"},
		{"library/demo-*:2.?", "demo-api:2.3", "demo-api:3.1 team/demo-api:2.3"},
		{"index.docker.io/library/demo-api:*", "demo-api:1", "team/demo-api:1 ghcr.io/library/demo-api:1"},
		{"index.docker.io/demo-api", "demo-api:1", "team/demo-api:1"},
		{"index.docker.io/team/**", "team/app:1", "demo-api:1 ghcr.io/team/app:1"},
		{"** !library/demo-api", "web:1 team/demo-api:1", "demo-api:1"},
		{"docker.io/demo-*", "demo-api:2.3", "team/demo-api:1"},
		{"docker.io/team/*", "team/app:1", "app:1 ghcr.io/team/app:1"},
		{"*", "demo-api:1 team/app:1 ghcr.io/team/app:1", ""}, // a lone star is everything
		{"*/*", "team/app:1", "ghcr.io/team/app:1"},
		{"**", "demo-api:1 ghcr.io/team/app:v1.2 localhost:5000/app:1", ""},
		{"ghcr.io/team/**:v1.*", "ghcr.io/team/app:v1.2 ghcr.io/team/a/b/c:v1.0", "ghcr.io/team/app:v2.0 ghcr.io/teams/app:v1.2"},
		{"**/app", "app:1 team/app:1 ghcr.io/team/app:2", "myapp:1"},
		{"localhost:5000/app", "localhost:5000/app:1 localhost:5000/app", "localhost/app:5000 localhost:5000"},
		{"localhost:*/app:1", "localhost:5000/app:1", "localhost/app:1 localhost:5000/app:2"},
		{"Registry.local/app", "Registry.local/app:1", "registry.local/app:1"},
		{"{demo-api:1,web:2}", "demo-api:1 web:2", "demo-api:2 web:1"},
		{"demo{,-{api,web}}:{1,2}", "demo:1 demo-api:2 demo-web:1", "demo-:1 demo-api:3"},
		{"demo-[a-c]pi:[!0]", "demo-api:1 demo-api:x", "demo-dpi:1 demo-api:0 demo-api:10"},
		{"demo[!x]api", "demo-api:1", "demo/api:1 demoxapi:1"},
		{"demo[^-]api", "demo_api:1", "demo/api:1 demo-api:1"},
		{"!demo-api:2.*", "demo-api:3 web:2.1", "demo-api:2.1"},
		{"**/* !ghcr.io/** !web", "demo-api:1", "web:2 ghcr.io/team/app:1"},
		{"demo-api@sha256:0123", "demo-api@sha256:" + hex + " demo-api:9@sha256:" + hex, "web@sha256:" + hex + " demo-api:1"},
		{"demo-api:1@sha256:" + hex, "demo-api@sha256:" + hex, "demo-api:1"},
		{"sha256:0123", "sha256:" + hex + " " + hex, "sha256:1" + hex[1:] + " demo-api:0123"},
		{"0123456789ab", "sha256:" + hex + " 0123456789ab:latest", "0123456789abc:latest"},
		{"0123456789a", "0123456789a:1", "sha256:" + hex},
		{hex, "sha256:" + hex, "app:1"},
	} {
		p := patterns(t, strings.Fields(test.patterns)...)
		for _, ref := range strings.Fields(test.yes) {
			if _, ok := p.MatchReference(ref); !ok {
				t.Errorf("%q matches %q = false, want true", test.patterns, ref)
			}
		}
		for _, ref := range strings.Fields(test.no) {
			if by, ok := p.MatchReference(ref); ok {
				t.Errorf("%q matches %q = true by %q, want false", test.patterns, ref, by)
			}
		}
	}
}

func TestMatchImage(t *testing.T) {
	img := with(image("ab", "other:1", "demo-api:2.1"), func(i *engine.Image) {
		i.RepoDigests = []string{"demo-api@" + pinned, "moved@" + pinned}
	})
	for _, test := range []struct{ patterns, pattern, reference string }{
		{"demo-api:2.*", "demo-api:2.*", "demo-api:2.1"},
		{"none other", "other", "other:1"},
		{"moved", "moved", "moved@" + pinned},
		{"moved:*", "moved:*", "moved@" + pinned},
		{"moved:1", "", ""},
		{"demo-api !demo-api:2.*", "", ""}, // the digest name must not save it
		{"** !demo-api !moved", "**", "other:1"},
		{"sha256:ab", "sha256:ab", id("ab").String()},
		{"demo-api@sha256:aa", "demo-api@sha256:aa", "demo-api@" + pinned},
		{"other !sha256:ab", "", ""},
		{"other !moved@sha256:aa", "", ""},
		{"!web !x", "!web !x", "demo-api:2.1"},
	} {
		pattern, reference, ok := patterns(t, strings.Fields(test.patterns)...).MatchImage(img)
		if pattern != test.pattern || reference != test.reference || ok != (test.pattern != "") {
			t.Errorf("%q: MatchImage() = %q, %q, %v, want %q, %q", test.patterns, pattern, reference, ok, test.pattern, test.reference)
		}
	}
	if _, _, ok := patterns(t, "!web").MatchImage(image("c")); ok {
		t.Error("a dangling image matches a set of negative patterns only, want no match")
	}
	if _, _, ok := (Patterns{}).MatchImage(img); ok || !(Patterns{}).Empty() {
		t.Error("the zero Patterns is not empty or matches an image")
	}
}

func TestParsePatternsRefuses(t *testing.T) {
	for pattern, want := range map[string]string{
		"":                                "empty",
		"!":                               "nothing after the !",
		"!!web":                           "can't be part of a name",
		"demo[api":                        "character 5: a [ without its ]",
		"demo]api":                        "a ] without its [",
		"{a,b":                            "a { without its }",
		"a}":                              "a } without its {",
		"a,b":                             "a comma outside braces",
		"[a,b]":                           "for alternatives use {a,b}",
		"a[]b":                            "an empty",
		"a[!]b":                           "an empty",
		"[!!a]":                           "doubly negated",
		"[z-a]":                           "a range",
		"[.-9]":                           "a range",
		"[::1]:5000/app":                  "a [class]",
		"{a,}":                            `alternative "": empty`,
		"Demo-api":                        "lower case",
		"team/Demo*":                      "lower case",
		"demo api":                        "a space",
		"demo\tapi":                       "control character",
		"demo\x00":                        "control character",
		"demo\xff":                        "broken character",
		`demo\*`:                          "a backslash",
		"demo-api:":                       "no tag after the colon",
		":1":                              "no repository",
		"a:b:c":                           "more than one colon",
		"a/b:c:d":                         "more than one colon",
		"a//b":                            "nothing between two slashes",
		"/a":                              "slash at an end",
		"a/":                              "slash at an end",
		"ghcr.io/team**":                  "** has to stand alone",
		"demo-api:v+1":                    "can't be part of a tag",
		"-demo":                           "no valid repository name",
		"<none>":                          "can't be part of a name",
		"sha256:":                         "an ID is",
		"sha256:xyz":                      "an ID is",
		"sha256:*":                        "an ID is",
		"demo@sha256:":                    "after @",
		"demo@latest":                     "after @",
		"@sha256:ab":                      "no repository",
		strings.Repeat("{a,b}", 9):        "more than 256 alternatives",
		strings.Repeat("a", maxPattern+1): "longer than",
	} {
		_, err := ParsePatterns([]string{"fine", pattern})
		if !errors.Is(err, ErrUsage) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("ParsePatterns(%q) = %v, want %q in one line", pattern, err, want)
		}
	}
}

func FuzzPatterns(f *testing.F) {
	for _, seed := range []string{
		"demo-api:2.*", "!ghcr.io/**:v1.{0,1}", "[a-z]*[!0-9]", "localhost:5000/app", "sha256:0123", "a@sha256:ab",
		strings.Repeat("{a}", 300), strings.Repeat("{,}", 300), strings.Repeat("*a", 500), "{{{{a,b},c},d},e}:1", "{,}{,}{,}{,}{,}{,}" + strings.Repeat("{a}", 300),
	} {
		f.Add(seed, "ghcr.io/team/app:v1.2")
	}
	f.Fuzz(func(t *testing.T, text, ref string) {
		began := time.Now()
		p, err := ParsePatterns([]string{text})
		if took := time.Since(began); took > 2*time.Second {
			t.Fatalf("ParsePatterns(%q) took %v", text, took)
		}
		if err != nil {
			if !errors.Is(err, ErrUsage) || strings.Contains(err.Error(), "\n") {
				t.Fatalf("ParsePatterns(%q) = %v, want one line that wraps ErrUsage", text, err)
			}
			return
		}
		if len(ref) > 1000 {
			ref = ref[:1000]
		}
		began = time.Now()
		pattern, ok := p.MatchReference(ref)
		if ok && pattern != text {
			t.Fatalf("MatchReference(%q) names pattern %q, want %q", ref, pattern, text)
		}
		if _, not := patterns(t, "!"+strings.TrimPrefix(text, "!")).MatchReference(text); ok && not && text == ref {
			t.Fatalf("%q matches itself and is not taken away by its negation", text)
		}
		if took := time.Since(began); took > 2*time.Second {
			t.Fatalf("matching %q with %q took %v", ref, text, took)
		}
	})
}

func TestIdlePatternsMatchNoImage(t *testing.T) {
	images := []engine.Image{image("a", "demo-api:2.3"), image("b")}
	set := patterns(t, "demo-api:2.*", "demo-apj", "sha256:b0", "sha256:c", "!web", "!demo-api:2.3")
	if got, want := set.Idle(images), []string{"demo-apj", "sha256:c"}; !slices.Equal(got, want) {
		t.Errorf("Idle() = %q, want %q", got, want)
	}
}
