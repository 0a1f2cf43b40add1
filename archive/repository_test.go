package archive_test

import (
	"regexp"
	"testing"

	"github.com/archprune/archprune/archive"
)

// repositoryName is the grammar of the OCI distribution specification.
var repositoryName = regexp.MustCompile(`^[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*(\/[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*)*$`)

func TestRepositoryOfReference(t *testing.T) {
	for _, tt := range []struct{ ref, repo, tag string }{
		{"demo-api:2.3", "demo-api", "2.3"},
		{"demo-api", "demo-api", "latest"},
		{"docker.io/library/demo-api:2.3", "demo-api", "2.3"},
		{"team/tool:v1", "team/tool", "v1"},
		{"ghcr.io/team/tool:v1", "ghcr.io/team/tool", "v1"},
		{"localhost/tool:v1", "localhost/tool", "v1"},
		{"localhost:5000/tool:v1", "localhost__5000/tool", "v1"},
		{"registry.example.com:5000/team/tool:v1", "registry.example.com__5000/team/tool", "v1"},
		{"127.0.0.1:5000/tool:v1", "127.0.0.1__5000/tool", "v1"},
		{"a--b.example.com/tool:v1", "a--b.example.com/tool", "v1"},
		{"[::1]:5000/tool:v1", "5b3a3a315d3a35303030__x/tool", "v1"},
		{"Registry/tool:v1", "5265676973747279__x/tool", "v1"},
		{"localhost__5000/tool:v1", "docker.io/localhost__5000/tool", "v1"},
		{"5265676973747279__x/tool:v1", "docker.io/5265676973747279__x/tool", "v1"},
		{"1g__x/tool:v1", "1g__x/tool", "v1"}, // stands for no host
		{"tool__5000:v1", "tool__5000", "v1"},
		{"docker.io/a.b/tool:v1", "docker.io/a.b/tool", "v1"}, // not that of the registry a.b
		{"demo-api@sha256:0000000000000000000000000000000000000000000000000000000000000000", "demo-api", ""},
	} {
		repo, tag, ok := archive.RepositoryOf(tt.ref)
		if repo != tt.repo || tag != tt.tag || !ok {
			t.Errorf("RepositoryOf(%q) = %q, %q, %v, want %q, %q", tt.ref, repo, tag, ok, tt.repo, tt.tag)
		}
		if !repositoryName.MatchString(repo) {
			t.Errorf("RepositoryOf(%q) = %q, which no registry takes", tt.ref, repo)
		}
	}
}

func TestRepositoryMapsBack(t *testing.T) {
	for _, ref := range []string{
		"demo-api:2.3", "team/tool:v1", "ghcr.io/team/tool:v1", "localhost/tool:v1", "localhost:5000/tool:v1",
		"registry.example.com:5000/team/tool:v1", "[::1]:5000/tool:v1", "[::1]/tool:v1", "Registry/tool:v1", "R:5/tool:v1",
		"localhost__5000/tool:v1", "5265676973747279__x/tool:v1", "12__x/tool:v1", "tool__5000:v1", "a--b.example.com:1/x__2/y:v1",
		"docker.io__443/x:v1", "a_b.c/x:v1", "xn--a.example.com/x:v1",
	} {
		repo, tag, _ := archive.RepositoryOf(ref)
		if back, ok := archive.ReferenceOf(repo, tag); back != ref || !ok {
			t.Errorf("ReferenceOf(%q, %q) = %q, %v, want %q", repo, tag, back, ok, ref)
		}
	}
}

func TestRepositoryOfNoReference(t *testing.T) {
	for _, ref := range []string{"", "UPPER:1", "a b", "../etc/passwd", "a:b:c"} {
		if repo, _, ok := archive.RepositoryOf(ref); ok {
			t.Errorf("RepositoryOf(%q) = %q, want none", ref, repo)
		}
	}
	for _, repo := range []string{"", "UPPER", "a:1", "a b", "x/../y", "a@sha256:00"} {
		if ref, ok := archive.ReferenceOf(repo, "1"); ok {
			t.Errorf("ReferenceOf(%q) = %q, want none", repo, ref)
		}
	}
}

func FuzzRepositoryMapsBack(f *testing.F) {
	for _, ref := range []string{"demo-api:2.3", "localhost:5000/a:1", "[::1]:5/a/b:c", "docker.io/a__5/b:1", "Host/a__x/x:1"} {
		f.Add(ref)
	}
	f.Fuzz(func(t *testing.T, s string) {
		ref, ok := archive.Familiar(s)
		repo, tag, mapped := archive.RepositoryOf(ref)
		if !ok || !mapped || tag == "" {
			return
		}
		if !repositoryName.MatchString(repo) {
			t.Errorf("RepositoryOf(%q) = %q, which no registry takes", ref, repo)
		}
		if back, ok := archive.ReferenceOf(repo, tag); back != ref || !ok {
			t.Errorf("%q became %q, %q, and back %q, %v", ref, repo, tag, back, ok)
		}
	})
}
