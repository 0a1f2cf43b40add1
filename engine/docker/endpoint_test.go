package docker

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/engine"
)

// configure makes the user's docker configuration and clears the environment.
func configure(t *testing.T, config string, contexts map[string]string) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_API_VERSION", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY", "DOCKER_TLS"} {
		t.Setenv(name, "")
	}
	t.Setenv("DOCKER_CONFIG", dir)
	if config != "" {
		write(t, filepath.Join(dir, "config.json"), config)
	}
	for name, host := range contexts {
		meta, err := json.Marshal(map[string]any{
			"Name":      name,
			"Metadata":  map[string]string{"Description": "for a test"},
			"Endpoints": map[string]any{"docker": map[string]any{"Host": host, "SkipTLSVerify": false}},
		})
		if err != nil {
			t.Fatal(err)
		}
		write(t, filepath.Join(dir, "contexts", "meta", digest.FromString(name).Encoded(), "meta.json"), string(meta))
	}
}

func write(t *testing.T, name, data string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, []byte(data), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestEndpoint(t *testing.T) {
	contexts := map[string]string{
		"one": "unix:///one.sock", "two": "unix:///two.sock",
		"far": "ssh://user@far.example.com", "pipe": "npipe:////./pipe/docker_engine",
	}
	const current = `{"currentContext": "one"}`
	for _, test := range []struct {
		name    string
		config  string
		env     map[string]string
		opts    Options
		want    string // or part of the error
		source  string
		failing bool
	}{
		{name: "nothing set", want: "unix:///var/run/docker.sock", source: "default address"},
		{name: "current context", config: current, want: "unix:///one.sock", source: "current context one"},
		{name: "variable over current context", config: current, env: map[string]string{"DOCKER_CONTEXT": "two"}, want: "unix:///two.sock", source: "DOCKER_CONTEXT two"},
		{name: "DOCKER_HOST over DOCKER_CONTEXT", config: current, env: map[string]string{"DOCKER_CONTEXT": "two", "DOCKER_HOST": "unix:///env.sock"}, want: "unix:///env.sock", source: "DOCKER_HOST"},
		{name: "flag over DOCKER_HOST", config: current, env: map[string]string{"DOCKER_HOST": "unix:///env.sock"}, opts: Options{Host: "unix:///flag.sock"}, want: "unix:///flag.sock", source: "--host"},
		{name: "context flag over DOCKER_HOST", env: map[string]string{"DOCKER_HOST": "unix:///env.sock"}, opts: Options{Context: "two"}, want: "unix:///two.sock", source: "--context two"},
		{name: "default context means DOCKER_HOST", config: current, env: map[string]string{"DOCKER_HOST": "unix:///env.sock"}, opts: Options{Context: "default"}, want: "unix:///env.sock", source: "DOCKER_HOST"},
		{name: "default context over current one", config: current, env: map[string]string{"DOCKER_CONTEXT": "default"}, want: "unix:///var/run/docker.sock", source: "default address"},
		{name: "tcp without port", opts: Options{Host: "tcp://example.com"}, want: "tcp://example.com:2375", source: "--host"},
		{name: "no protocol", opts: Options{Host: "example.com:1234"}, want: "tcp://example.com:1234", source: "--host"},
		{name: "ssh", env: map[string]string{"DOCKER_HOST": "ssh://user@example.com:2222"}, want: "ssh://user@example.com:2222", source: "DOCKER_HOST"},
		{name: "ssh context", opts: Options{Context: "far"}, want: "ssh://user@far.example.com", source: "--context far"},
		{name: "both flags", opts: Options{Context: "one", Host: "unix:///flag.sock"}, want: "exclude each other", failing: true},
		{name: "unknown context", config: `{"currentContext": "lost"}`, want: "current context lost", failing: true},
		{name: "unknown protocol", opts: Options{Host: "gopher://example.com"}, want: "gopher://example.com", failing: true},
		{name: "broken configuration", config: `{"currentContext": `, want: "reading the docker configuration", failing: true},
		{name: "TLS without certificates", env: map[string]string{"DOCKER_TLS_VERIFY": "1", "DOCKER_HOST": "tcp://example.com:2376"}, want: "ca.pem", failing: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			configure(t, test.config, contexts)
			for name, value := range test.env {
				t.Setenv(name, value)
			}
			c, err := New(test.opts)
			if test.failing {
				if err == nil || !strings.Contains(err.Error(), test.want) {
					t.Errorf("New(%+v) = %v, want an error about %q", test.opts, err, test.want)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if c.Endpoint() != test.want || c.source != test.source {
				t.Errorf("endpoint = %s by %s, want %s by %s", c.Endpoint(), c.source, test.want, test.source)
			}
		})
	}
}

func TestAPIVersionVariable(t *testing.T) {
	configure(t, "", nil)
	t.Setenv("DOCKER_API_VERSION", "1.40")
	c, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	if got := c.api.ClientVersion(); got != "1.40" {
		t.Errorf("API version = %s, want 1.40", got)
	}
}

func TestPruneFilters(t *testing.T) {
	configure(t, "", nil)
	if got, err := PruneFilters(); err != nil || len(got) > 0 {
		t.Errorf("PruneFilters = %q, %v, want none", got, err)
	}
	configure(t, `{"pruneFilters": ["label!=keep", "until=24h"]}`, nil)
	if got, err := PruneFilters(); err != nil || !slices.Equal(got, []string{"label!=keep", "until=24h"}) {
		t.Errorf("PruneFilters = %q, %v, want those of the configuration", got, err)
	}
	configure(t, `{"pruneFilters": "label!=keep"}`, nil)
	if _, err := PruneFilters(); err == nil {
		t.Error("a broken configuration is no error")
	}
}

func TestNoEngineAnswers(t *testing.T) {
	configure(t, "", nil)
	host := "unix://" + filepath.Join(t.TempDir(), "docker.sock")
	t.Setenv("DOCKER_HOST", host)
	c, err := New(Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_, err = c.Info(t.Context())
	if !errors.Is(err, engine.ErrUnavailable) || !strings.Contains(err.Error(), host) || !strings.Contains(err.Error(), "DOCKER_HOST") {
		t.Errorf("Info = %v, want %v with what was tried", err, engine.ErrUnavailable)
	}
	if _, err := c.Snapshot(t.Context()); !errors.Is(err, engine.ErrUnavailable) {
		t.Errorf("Snapshot = %v, want %v", err, engine.ErrUnavailable)
	}
}

// TestUnreachable: an engine that does not answer is named once, in the words of
// the user, whatever the cause.
func TestUnreachable(t *testing.T) {
	configure(t, "", nil)
	dir := t.TempDir()
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close()
	hangsUp := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }))
	defer hangsUp.Close()
	tcp := func(url string) string { return "tcp://" + url[strings.Index(url, "//")+2:] }
	for _, test := range []struct{ host, why string }{
		{"unix://" + dir + "/docker.sock", "is the docker daemon running?"},
		{tcp(dead.URL), "is the docker daemon running?"},
		{tcp(hangsUp.URL), "EOF"},
	} {
		c, err := New(Options{Host: test.host})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		_, err = c.Info(t.Context())
		if !errors.Is(err, engine.ErrUnavailable) {
			t.Errorf("%s: Info = %v, want %v", test.host, err, engine.ErrUnavailable)
			continue
		}
		_, why, _ := strings.Cut(err.Error(), engine.ErrUnavailable.Error()+" at "+test.host+" (--host): ")
		if !strings.Contains(why, test.why) || strings.Contains(why, test.host[strings.Index(test.host, "//")+2:]) || strings.Contains(why, "http://") {
			t.Errorf("%s: Info = %v, want %q and the address once", test.host, err, test.why)
		}
	}
}

// TestUnreachableSocket: the client's words for a socket that is somebody
// else's name its address three times; root is never refused.
func TestUnreachableSocket(t *testing.T) {
	const words = "permission denied while trying to connect to the Docker daemon socket at unix:///s: " +
		`Get "http://%2Fs/v1.41/info": dial unix /s: connect: permission denied`
	err := &unreachableError{"unix:///s", "DOCKER_HOST", errors.New(words)}
	if want := "engine not reachable at unix:///s (DOCKER_HOST): permission denied"; err.Error() != want {
		t.Errorf("%q, want %q", err, want)
	}
}

// answerInfo is enough of an engine to be asked about itself.
func answerInfo(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Api-Version", "1.45")
	switch {
	case strings.HasSuffix(r.URL.Path, "/info"):
		_, _ = io.WriteString(w, `{"Name": "far"}`)
	case strings.HasSuffix(r.URL.Path, "/version"):
		_, _ = io.WriteString(w, `{"Components": [{"Name": "Engine"}]}`)
	}
}

func TestTLS(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(answerInfo))
	defer server.Close()
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	right := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	for _, test := range []struct {
		name string
		ca   []byte
		env  string
		ok   bool
	}{
		{"verified", right, "DOCKER_TLS_VERIFY", true},
		{"another authority", otherCertificate(t), "DOCKER_TLS_VERIFY", false},
		{"not verified", otherCertificate(t), "DOCKER_TLS", true},
	} {
		t.Run(test.name, func(t *testing.T) {
			configure(t, "", nil)
			dir := t.TempDir()
			write(t, filepath.Join(dir, "ca.pem"), string(test.ca))
			t.Setenv("DOCKER_CERT_PATH", dir)
			t.Setenv(test.env, "1")
			t.Setenv("DOCKER_HOST", "tcp://"+strings.TrimPrefix(server.URL, "https://"))
			c, err := New(Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			info, err := c.Info(t.Context())
			if test.ok && (err != nil || info.Host != "far" || info.APIVersion != "1.45") {
				t.Errorf("Info = %+v, %v", info, err)
			}
			if !test.ok && !errors.Is(err, engine.ErrUnavailable) {
				t.Errorf("Info = %v, want %v", err, engine.ErrUnavailable)
			}
		})
	}
}

// otherCertificate is one that did not sign the test server's.
func otherCertificate(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	about := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, about, about, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

func TestSSH(t *testing.T) {
	e, _ := setup(t)
	id := e.Load(t, sample("x", "x:1"))[0]
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	bin := t.TempDir()
	script := fmt.Sprintf("#!/bin/sh\necho \"$*\" >>%s/calls\n%s=%s exec %s\n", bin, dialEnv, e.Socket, self)
	if err := os.WriteFile(filepath.Join(bin, "ssh"), []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	c := dial(t, e, "ssh://user@far.example.com:2222")
	s, err := c.Snapshot(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(s.Images) != 1 || s.Images[0].ID != id {
		t.Errorf("Images = %+v, want %s", s.Images, id)
	}
	calls, err := os.ReadFile(filepath.Join(bin, "calls"))
	if err != nil || !strings.Contains(string(calls), "-l user -p 2222") || !strings.Contains(string(calls), "far.example.com docker system dial-stdio") {
		t.Errorf("ssh was called with %q, %v", calls, err)
	}
}

// TestWaitingIsTold: an engine that hangs takes connections and says nothing.
func TestWaitingIsTold(t *testing.T) {
	configure(t, "", nil)
	waited := make(chan string, 1)
	hangs := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/info") {
			if at := <-waited; at != "tcp://"+r.Host { // nobody answers before it is told
				t.Errorf("%s is waited for, want %s", at, r.Host)
			}
		}
		rw.Header().Set("Content-Type", "application/json")
		fmt.Fprint(rw, "{}")
	}))
	defer hangs.Close()
	host := "tcp://" + hangs.Listener.Addr().String()
	c, err := New(Options{Host: host, Waiting: func(endpoint string) { waited <- endpoint; close(waited) }})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.patience = time.Millisecond
	if _, err := c.info(t.Context()); err != nil {
		t.Fatal(err)
	}
}
