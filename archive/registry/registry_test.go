package registry_test

import (
	"context"
	"encoding/pem"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/archive/archivetest"
	"github.com/archprune/archprune/archive/registry"
	"github.com/archprune/archprune/internal/registrytest"
)

func TestOpenTellsWhatIsWrong(t *testing.T) {
	p := start(t, registrytest.Options{})
	at := location(t, p.reg.Addr+"/elsewhere")
	if _, err := registry.Open(t.Context(), at, p.opts); !errors.Is(err, archive.ErrNoArchive) {
		t.Errorf("Open of nothing: %v", err)
	}
	foreign := &place{reg: p.reg, at: location(t, p.reg.Addr+"/foreign"), opts: p.opts}
	repo, opts := foreign.repo(t, "archprune")
	if err := remote.Write(repo.Tag("latest"), empty.Image, opts...); err != nil {
		t.Fatal(err)
	}
	if _, err := registry.Create(t.Context(), foreign.at, p.opts); !errors.Is(err, archive.ErrNotArchive) {
		t.Errorf("Create where something else is: %v", err)
	}
	if err := remote.Write(repo.Tag("format"), empty.Image, opts...); err != nil {
		t.Fatal(err)
	}
	if _, err := registry.Open(t.Context(), foreign.at, p.opts); !errors.Is(err, archive.ErrNotArchive) {
		t.Errorf("Open of somebody's tag: %v", err)
	}
	p.changeConfig(t, "format", func([]byte) []byte { return []byte(`{"format":99,"id":"x"}`) })
	if _, err := registry.Open(t.Context(), p.at, p.opts); !errors.Is(err, archive.ErrNewerFormat) {
		t.Errorf("Open of a newer format: %v", err)
	}
	p.changeConfig(t, "format", func([]byte) []byte { return []byte(`nonsense`) })
	if _, err := registry.Open(t.Context(), p.at, p.opts); !errors.Is(err, archive.ErrNotArchive) {
		t.Errorf("Open of nonsense: %v", err)
	}
	p.reg.Kill()
	if _, err := registry.Open(t.Context(), p.at, p.opts); err == nil || errors.Is(err, archive.ErrNoArchive) {
		t.Errorf("Open of a registry that is away: %v", err)
	}
}

// TestManyCreateAtOnce: there is one archive afterwards.
func TestManyCreateAtOnce(t *testing.T) {
	p := start(t, registrytest.Options{})
	at := location(t, p.reg.Addr+"/together")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			s, err := registry.Create(t.Context(), at, p.opts)
			if err != nil {
				t.Errorf("Create: %v", err)
				return
			}
			if _, err := s.Records(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	first, err := registry.Open(t.Context(), at, p.opts)
	if err != nil {
		t.Fatal(err)
	}
	again, err := registry.Create(t.Context(), at, p.opts)
	if err != nil || again.ID() != first.ID() {
		t.Errorf("the archive is %q, and then %q, %v", first.ID(), again.ID(), err)
	}
}

// TestDamageThatARegistryKeeps: Docker's registry does not take a blob anew
// whose file it has, so a save can't mend it. It must not vouch for it either,
// and who removes the file has a whole archive again.
func TestDamageThatARegistryKeeps(t *testing.T) {
	img := archivetest.NewImage(t, "demo-api:1", archivetest.Layer(t, "one"))
	for name, damage := range map[string]archivetest.Change{
		"flipped": func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"cut":     func(b []byte) []byte { return b[:len(b)-1] },
	} {
		for i := range 3 { // config, layer, manifest
			p := start(t, registrytest.Options{})
			r := ingest(t, open(t, p), img)
			bad := r.Blobs[i].Digest
			changeFile(t, p.reg.BlobFile(bad), damage)
			a := archive.New(p.Open(t), archive.Options{})
			for range 2 { // once unawares, once knowing
				if again, err := try(t, a, img); err == nil {
					if receipt, err := a.Verify(t.Context(), again, img.Image, again.Store); err == nil || receipt.Proves(img.Image, again.Store) == nil {
						t.Errorf("%s, blob %d: there is a receipt", name, i)
					}
				}
			}
			_ = a.Close()
			changeFile(t, p.reg.BlobFile(bad), func([]byte) []byte { return nil })
			mended := open(t, p)
			again, err := try(t, mended, img)
			if err != nil {
				t.Errorf("%s, blob %d: the save after the file was removed: %v", name, i, err)
				continue
			}
			if _, err := mended.Verify(t.Context(), again, img.Image, again.Store); err != nil {
				t.Errorf("%s, blob %d: %v", name, i, err)
			}
		}
	}
}

// try archives an image where that may fail.
func try(t *testing.T, a *archive.Archive, img archivetest.ClassicImage) (*archive.Record, error) {
	t.Helper()
	results, err := a.Ingest(t.Context(), newReader(archivetest.ClassicSave(t, img)), images(img), archivetest.ClassicInfo)
	if err != nil {
		return nil, err
	}
	return results[0].Record, results[0].Err
}

// TestRecordsAreRead from what is left of them: a config that the registry lost
// is in the manifest still, and a manifest that it lost is no record.
func TestRecordsAreRead(t *testing.T) {
	p := start(t, registrytest.Options{})
	r := ingest(t, open(t, p), archivetest.NewImage(t, "demo-api:1", archivetest.Layer(t, "one")))
	data, _, err := p.Open(t).ReadRecord(t.Context(), r.Name())
	if err != nil {
		t.Fatal(err)
	}
	changeFile(t, p.reg.BlobFile(digest.FromBytes(data)), func([]byte) []byte { return nil })
	again, _, err := p.Open(t).ReadRecord(t.Context(), r.Name())
	if err != nil || string(again) != string(data) {
		t.Errorf("ReadRecord = %d bytes, %v", len(again), err)
	}
	if err := p.Open(t).Confirm(t.Context(), r); err == nil {
		t.Error("a record was confirmed whose config is gone")
	}
	repo, opts := p.repo(t, "archprune")
	got, err := remote.Get(repo.Tag(r.Name()), opts...)
	if err != nil {
		t.Fatal(err)
	}
	manifest := p.reg.BlobFile(digest.Digest(got.Digest.String()))
	for name, damage := range map[string]archivetest.Change{
		"flipped": func(b []byte) []byte { b[len(b)/2] ^= 1; return b },
		"cut":     func(b []byte) []byte { return b[:len(b)/2] },
		"empty":   func([]byte) []byte { return []byte{} },
	} {
		changeFile(t, manifest, func([]byte) []byte { return damage([]byte(string(got.Manifest))) })
		if c, err := open(t, p).Catalog(t.Context()); err != nil || len(c.Records) != 0 || len(c.Bad) != 1 {
			t.Errorf("%s: the catalog is %+v, %v", name, c, err)
		}
	}
}

// TestCertificates: what is trusted, and what the errors say to do.
func TestCertificates(t *testing.T) {
	p := start(t, registrytest.Options{TLS: true})
	_, port, _ := strings.Cut(p.reg.Addr, ":")
	for name, tt := range map[string]struct {
		host string
		opts registry.Options
		want string // in the error; empty for none
	}{
		"its CA":             {"localhost:" + port, registry.Options{CA: p.reg.CA}, ""},
		"its CA, by address": {p.reg.Addr, registry.Options{CA: p.reg.CA}, ""},
		"insecure":           {"localhost:" + port, registry.Options{Insecure: true}, ""},
		"insecure, by IP":    {p.reg.Addr, registry.Options{Insecure: true}, ""},
		"no CA":              {p.reg.Addr, registry.Options{}, "--registry-ca"},
		"another CA":         {p.reg.Addr, registry.Options{CA: start(t, registrytest.Options{TLS: true}).reg.CA}, "--registry-ca"},
		"no CA file":         {p.reg.Addr, registry.Options{CA: "/nonexistent"}, "/nonexistent"},
		"no PEM file":        {p.reg.Addr, registry.Options{CA: "registry_test.go"}, "no certificate in PEM form"},
	} {
		opts := tt.opts
		opts.Keychain = keychain{}
		s, err := registry.Open(t.Context(), location(t, tt.host+"/rollback"), opts)
		if err == nil {
			s.Close()
		}
		if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

// TestPlainHTTPNeedsLeave, but for this very host.
func TestPlainHTTPNeedsLeave(t *testing.T) {
	p := start(t, registrytest.Options{})
	opts := p.opts
	opts.CA = start(t, registrytest.Options{TLS: true}).reg.CA // whoever names a CA wants TLS
	if _, err := registry.Open(t.Context(), p.at, opts); err == nil || !strings.Contains(err.Error(), "--insecure-registry") {
		t.Errorf("Open: %v", err)
	}
}

// TestNoTokenServerInTheClear: a registry with TLS can't have us send the
// password to a server without.
func TestNoTokenServerInTheClear(t *testing.T) {
	var asked atomic.Bool
	tokens := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Store(true) }))
	defer tokens.Close()
	reg := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("WWW-Authenticate", `Bearer realm="`+tokens.URL+`",service="x"`)
		w.WriteHeader(http.StatusUnauthorized)
	}))
	defer reg.Close()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: reg.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	at := location(t, strings.TrimPrefix(reg.URL, "https://")+"/rollback")
	_, err := registry.Open(t.Context(), at, registry.Options{CA: ca, Keychain: keychain{"me", "sesame"}})
	if err == nil || !strings.Contains(err.Error(), "plain HTTP is not allowed") || asked.Load() {
		t.Errorf("Open: %v; the token server was asked: %v", err, asked.Load())
	}
}

// TestNothingSecretInErrors whatever the registry answers, and wherever it
// sends us.
func TestNothingSecretInErrors(t *testing.T) {
	const secret = "s3cr3t"
	redirect := func(w http.ResponseWriter, req *http.Request) {
		http.Redirect(w, req, "http://user:"+secret+"@127.0.0.1:1/away?X-Signature="+secret, http.StatusTemporaryRedirect)
	}
	upload := func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Location", "http://127.0.0.1:1/upload?_state="+secret)
		w.WriteHeader(http.StatusAccepted)
	}
	for name, meddle := range map[string]func(*http.Request) http.Handler{
		"redirected read":   first(100, method(http.MethodGet, "/blobs/"), redirect),
		"redirected upload": first(100, method(http.MethodPost, "/blobs/uploads/"), upload),
	} {
		p, store := meddled(t, 200*time.Millisecond, meddle)
		data := []byte("content")
		err := publish(t, store, data)
		if strings.HasPrefix(name, "redirected read") {
			p.pushBlob(t, data)
			_, err = read(t, store, digest.FromBytes(data))
		}
		if err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("%s: %v", name, err)
		}
	}
	p := newPlace(t, registrytest.Start(t, registrytest.Options{User: "me", Password: secret}), registrytest.Options{User: "me", Password: secret})
	opts := p.opts
	opts.Keychain = keychain{"me", secret + "x"}
	_, err := registry.Open(t.Context(), p.at, opts)
	if err == nil || strings.Contains(err.Error(), secret) || !strings.Contains(err.Error(), "docker login") {
		t.Errorf("a wrong password: %v", err)
	}
}

// TestDockerConfig: credentials come from where docker keeps them.
func TestDockerConfig(t *testing.T) {
	p := start(t, registrytest.Options{User: "me", Password: "sesame"})
	opts := p.opts
	opts.Keychain = nil
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	if _, err := registry.Open(t.Context(), p.at, opts); err == nil {
		t.Error("the archive opens without credentials")
	}
	t.Setenv("DOCKER_CONFIG", p.reg.DockerConfig(t))
	if _, err := registry.Open(t.Context(), p.at, opts); err != nil {
		t.Errorf("Open: %v", err)
	}
	// A credential helper, as docker-credential-test in PATH.
	dir := t.TempDir()
	helper := "#!/bin/sh\ncat >/dev/null\necho '{\"Username\":\"me\",\"Secret\":\"sesame\"}'\n"
	if err := os.WriteFile(filepath.Join(dir, "docker-credential-test"), []byte(helper), 0o700); err != nil {
		t.Fatal(err)
	}
	config := `{"credHelpers":{"` + p.reg.Addr + `":"test"}}`
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PATH", dir+":"+os.Getenv("PATH"))
	t.Setenv("DOCKER_CONFIG", dir)
	if _, err := registry.Open(t.Context(), p.at, opts); err != nil {
		t.Errorf("Open with a helper: %v", err)
	}
}

// TestSpoolsAreNowhere: layers that wait for their upload have no name.
func TestSpoolsAreNowhere(t *testing.T) {
	p := start(t, registrytest.Options{})
	store := p.Open(t)
	w, err := store.Create(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(noise(100_000)); err != nil {
		t.Fatal(err)
	}
	if left := p.Leftovers(t); len(left) > 0 {
		t.Errorf("a layer can be seen: %q", left)
	}
	if err := w.Cancel(); err != nil {
		t.Error(err)
	}
	opts := p.opts
	opts.Temp = "/nonexistent"
	other, err := registry.Open(t.Context(), p.at, opts)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.Create(t.Context()); err == nil || !strings.Contains(err.Error(), "ARCHPRUNE_TMP") {
		t.Errorf("Create: %v", err)
	}
}
