package registry_test

import (
	"strings"
	"testing"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/archive/registry"
)

func TestViewOf(t *testing.T) {
	seen := map[string]string{}
	for ref, want := range map[string]string{
		"demo-api:2.3":          "demo-api:2.3",
		"team/app:v1":           "team/app:v1",
		"ghcr.io/team/app:V1":   "ghcr.io/team/app:V1",
		"localhost:5000/app:v1": "localhost__5000/app:v1",
		"archprune:v1":          "docker.io/library/archprune:v1",
		"archprune/untagged:v1": "docker.io/archprune/untagged:v1",
		"archprune/" + strings.Repeat("a/b", 3) + ":1": "docker.io/archprune/" + strings.Repeat("a/b", 3) + ":1",
		"archpruner/app:v1":                            "archpruner/app:v1",
		"archprune.example/app:v1":                     "archprune.example/app:v1",
		"archprune:5000/app:v1":                        "archprune__5000/app:v1",
		"archprune__5000/app:v1":                       "docker.io/archprune__5000/app:v1",
	} {
		repo, tag, err := registry.ViewOf(ref)
		got := repo + ":" + tag
		if err != nil || got != want {
			t.Errorf("ViewOf(%q) = %q, %v, want %q", ref, got, err, want)
		}
		if before := seen[got]; before != "" {
			t.Errorf("%q and %q are both %q", before, ref, got)
		}
		seen[got] = ref
		if back, ok := archive.ReferenceOf(repo, tag); !ok || back != ref {
			t.Errorf("ReferenceOf(%q, %q) = %q, %v, want %q", repo, tag, back, ok, ref)
		}
	}
	for _, bad := range []string{"", "UPPER:1", "a b:1", "demo@sha256:" + strings.Repeat("a", 64)} {
		if repo, tag, err := registry.ViewOf(bad); err == nil {
			t.Errorf("ViewOf(%q) = %q, %q", bad, repo, tag)
		}
	}
}

// FuzzViewOf: no view is the archive's own, and each leads back to one
// reference.
func FuzzViewOf(f *testing.F) {
	for _, ref := range []string{"demo-api:2.3", "a__1/b:x", "[::1]:5/x:y", "X.y:5/z:w", "docker.io/library/archprune:1", "archprune/b:1", "localhost:1/a__x/b:2", "docker.io/r.o/l"} {
		f.Add(ref)
	}
	f.Fuzz(func(t *testing.T, ref string) {
		repo, tag, err := registry.ViewOf(ref)
		if err != nil {
			return
		}
		if first, _, _ := strings.Cut(repo, "/"); first == "archprune" {
			t.Errorf("%q is %s, which is the archive's own", ref, repo)
		}
		back, ok := archive.ReferenceOf(repo, tag)
		if !ok {
			t.Fatalf("%q is %s:%s, which is no reference", ref, repo, tag)
		}
		again, sameTag, err := registry.ViewOf(back)
		if err != nil || again != repo || sameTag != tag {
			t.Errorf("%q is %s:%s, which is %q, which is %s:%s, %v", ref, repo, tag, back, again, sameTag, err)
		}
	})
}

func TestParseLocation(t *testing.T) {
	for s, want := range map[string]string{
		"docker://registry.example.com/rollback":    "docker://registry.example.com/rollback",
		"registry.example.com/rollback":             "docker://registry.example.com/rollback",
		"docker://Registry.Example.com/team/a_b-c1": "docker://registry.example.com/team/a_b-c1",
		"docker://127.0.0.1:5000/x":                 "docker://127.0.0.1:5000/x",
		"docker://[::1]:5000/x":                     "docker://[::1]:5000/x",
	} {
		if at, err := registry.ParseLocation(s); err != nil || at.String() != want {
			t.Errorf("ParseLocation(%q) = %q, %v, want %q", s, at, err, want)
		}
	}
	for s, want := range map[string]string{
		"docker://":                                 "not a host",
		"docker:///rollback":                        "not a host",
		"docker://registry.example.com":             "name in the registry is missing",
		"docker://registry.example.com/":            "name in the registry is missing",
		"docker://registry.example.com/a:1":         "no name in a registry",
		"docker://registry.example.com/A":           "no name in a registry",
		"docker://registry.example.com/a/":          "no name in a registry",
		"docker://registry.example.com/a//b":        "no name in a registry",
		"docker://registry.example.com/a?x=y":       "no name in a registry",
		"docker://registry.example.com:port/a":      "not a host",
		"docker://me:secret@registry.example.com/a": "docker login registry.example.com",
	} {
		at, err := registry.ParseLocation(s)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ParseLocation(%q) = %q, %v, want an error with %q", s, at, err, want)
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("the error tells the password: %v", err)
		}
	}
}
