package serve_test

import (
	"strings"
	"testing"

	"golang.org/x/crypto/bcrypt"

	"github.com/archprune/archprune/serve"
)

// htpasswd is the line of a user.
func htpasswd(t testing.TB, name, password string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return name + ":" + strings.Replace(string(hash), "$2a$", "$2y$", 1) + "\n" // as htpasswd writes it
}

func TestUsers(t *testing.T) {
	users, err := serve.ReadUsers(strings.NewReader("# hosts\n\n" + htpasswd(t, "ops", "rollback") + htpasswd(t, "ci", "other")))
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time a right password is known from the first
		for _, tt := range []struct {
			name, password string
			want           bool
		}{
			{"ops", "rollback", true}, {"ci", "other", true}, {"ops", "other", false}, {"ci", "rollback", false},
			{"ops", "", false}, {"", "", false}, {"nobody", "rollback", false}, {"OPS", "rollback", false}, {"ops", "rollback ", false},
		} {
			if got := users.Know(tt.name, tt.password); got != tt.want {
				t.Errorf("Know(%q, %q) = %v", tt.name, tt.password, got)
			}
		}
	}
}

func TestUnusableUsersAreRefused(t *testing.T) {
	for file, want := range map[string]string{
		"":                          "no users",
		"# none\n":                  "no users",
		"ops\n":                     "line 1",
		htpasswd(t, "a", "b") + ":": "line 2",
		"\nops:{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=\n":   "line 2",
		"ops:$apr1$Zc2LXNpT$Ig9d5hGP4pZ3wv1xNjcbs0\n": "htpasswd -B",
		"ops:rollback\n": "htpasswd -B",
		"ops:$2y$05$" + strings.Repeat("a", 3) + "\n":        "line 1",
		strings.Repeat("x", 1<<20) + ":" + "rollback" + "\n": "too long",
	} {
		_, err := serve.ReadUsers(strings.NewReader(file))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("ReadUsers(%.40q) = %v, want an error with %q", file, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "5en6") {
			t.Errorf("the error tells a hash: %v", err)
		}
	}
}

// TestPasswordIsAskedForEverything, before anything is told.
func TestPasswordIsAskedForEverything(t *testing.T) {
	users, err := serve.ReadUsers(strings.NewReader(htpasswd(t, "ops", "rollback")))
	if err != nil {
		t.Fatal(err)
	}
	a := newArchive(t)
	save(t, a, classic(t, "demo-api:1", layer(t, "one", 5000)))
	c := serving(t, a, serve.Options{Users: users})
	right, wrong := "Authorization: Basic b3BzOnJvbGxiYWNr", "Authorization: Basic b3BzOnJvbGxiYWNl"
	for _, path := range []string{"/v2/", "/v2/_catalog", "/v2/demo-api/tags/list", "/v2/demo-api/manifests/1", "/v2/none/manifests/1"} {
		for _, method := range []string{"GET", "HEAD", "PUT"} {
			for _, header := range []string{"X: y", wrong, "Authorization: Basic !", "Authorization: Bearer b3BzOnJvbGxiYWNr"} {
				r := c.do(method, path, header)
				if r.status != 401 || r.header.Get("WWW-Authenticate") != `Basic realm="archprune"` {
					t.Errorf("%s %s with %s = %d %v", method, path, header, r.status, r.header)
				}
				if method == "GET" && r.code() != "UNAUTHORIZED" {
					t.Errorf("GET %s = %s", path, r.body)
				}
			}
		}
		if r := c.get(path, right); r.status != 200 && r.status != 404 {
			t.Errorf("%s with the right password = %d", path, r.status)
		}
	}
	for _, r := range c.accesses() {
		if strings.Contains(strings.ToLower(strings.Join([]string{r.Path, r.Agent, r.Remote}, " ")), "b3bz") {
			t.Errorf("a password is in the log: %+v", r)
		}
	}
}
