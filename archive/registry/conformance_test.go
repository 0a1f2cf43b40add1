package registry_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/archive/archivetest"
	"github.com/archprune/archprune/archive/registry"
	"github.com/archprune/archprune/internal/registrytest"
)

// onEveryWire are the tests that touch each kind of request. The others take
// minutes, and see no more of the way to the registry.
var onEveryWire = regexp.MustCompile(`/(storage|ingest|marks|proofs|signatures)/`)

func TestRegistryConforms(t *testing.T) {
	for name, opts := range map[string]registrytest.Options{
		"plain": {},
		"login": {User: "archiver", Password: "sesame"},
		"TLS":   {TLS: true},
		"token": {TLS: true, Token: true, User: "archiver", Password: "sesame"},
	} {
		opts.Delete = true
		t.Run(name, func(t *testing.T) {
			regs := &pool{owner: t, opts: opts, used: map[testing.TB][]*registrytest.Registry{}}
			archivetest.Run(t, func(t testing.TB) archivetest.Place {
				if name != "plain" && !onEveryWire.MatchString(t.Name()) {
					t.Skip("this is the same on every wire: see plain")
				}
				return newPlace(t, regs.take(t), opts)
			})
		})
	}
}

// pool gives out registries that run and are empty. They are used again, since
// the suite makes hundreds of archives.
type pool struct {
	owner testing.TB
	opts  registrytest.Options
	free  []*registrytest.Registry
	used  map[testing.TB][]*registrytest.Registry
}

// take returns a registry for one test. A test that takes many is done with
// the first of them.
func (p *pool) take(t testing.TB) *registrytest.Registry {
	t.Helper()
	used, known := p.used[t]
	if !known {
		t.Cleanup(func() {
			p.free = append(p.free, p.used[t]...)
			delete(p.used, t)
		})
	}
	var reg *registrytest.Registry
	switch {
	case len(used) == 4:
		reg, used = used[0], used[1:]
	case len(p.free) > 0:
		reg, p.free = p.free[0], p.free[1:]
	default:
		reg = registrytest.Start(p.owner, p.opts)
	}
	reg.Wipe(t)
	p.used[t] = append(used, reg)
	return reg
}

// place is an archive in a registry.
type place struct {
	reg  *registrytest.Registry
	at   registry.Location
	opts registry.Options
}

func newPlace(t testing.TB, reg *registrytest.Registry, opts registrytest.Options) *place {
	t.Helper()
	p := &place{reg: reg, at: location(t, reg.Addr+"/rollback"),
		opts: registry.Options{CA: reg.CA, Temp: t.TempDir(), Keychain: keychain{opts.User, opts.Password}}}
	store, err := registry.Create(t.Context(), p.at, p.opts)
	if err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	return p
}

func location(t testing.TB, s string) registry.Location {
	t.Helper()
	at, err := registry.ParseLocation(s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// keychain has one login for everything.
type keychain struct{ user, password string }

func (k keychain) Resolve(authn.Resource) (authn.Authenticator, error) {
	if k.user == "" {
		return authn.Anonymous, nil
	}
	return authn.FromConfig(authn.AuthConfig{Username: k.user, Password: k.password}), nil
}

func (p *place) Open(t testing.TB) archive.Storage {
	t.Helper()
	store, err := registry.Open(t.Context(), p.at, p.opts)
	if err != nil {
		t.Fatal(err)
	}
	return store
}

func (p *place) ChangeBlob(t testing.TB, d digest.Digest, change archivetest.Change) {
	t.Helper()
	changeFile(t, p.reg.BlobFile(d), change)
}

// KeepsDamage makes it an [archivetest.Stubborn]: docker-registry goes by the
// file that it has.
func (p *place) KeepsDamage() {}

// changeFile rewrites a file of the registry's storage in its place.
func changeFile(t testing.TB, name string, change archivetest.Change) {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	if data = change(data); data == nil {
		err = os.Remove(name)
	} else {
		err = os.WriteFile(name, data, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (p *place) ChangeRecord(t testing.TB, name string, change archivetest.Change) {
	t.Helper()
	p.changeConfig(t, name, change)
}

func (p *place) ChangeMark(t testing.TB, m archive.Mark, change archivetest.Change) {
	t.Helper()
	p.changeConfig(t, string(m.Kind)+"-"+m.Record, change)
}

// changeConfig does what somebody could do who may write to the registry: it
// gives a tag a manifest with another config.
func (p *place) changeConfig(t testing.TB, tag string, change archivetest.Change) {
	t.Helper()
	repo, opts := p.repo(t, "archprune")
	ref := repo.Tag(tag)
	got, err := remote.Get(ref, opts...)
	if err != nil {
		t.Fatal(err)
	}
	var m ocispec.Manifest
	if err := json.Unmarshal(got.Manifest, &m); err != nil {
		t.Fatal(err)
	}
	changed := change(m.Config.Data)
	if changed == nil {
		if err := remote.Delete(repo.Digest(got.Digest.String()), opts...); err != nil {
			t.Fatal(err)
		}
		return
	}
	p.pushBlob(t, changed)
	m.Config.Digest, m.Config.Size, m.Config.Data = digest.FromBytes(changed), int64(len(changed)), changed
	if err := remote.Put(ref, raw{archivetest.JSON(t, m)}, opts...); err != nil {
		t.Fatal(err)
	}
}

// pushBlob stores a blob as another client would.
func (p *place) pushBlob(t testing.TB, data []byte) {
	t.Helper()
	repo, opts := p.repo(t, "archprune")
	if err := remote.WriteLayer(repo, static.NewLayer(data, types.OCILayer), opts...); err != nil {
		t.Fatal(err)
	}
}

// raw is a manifest as bytes.
type raw struct{ data []byte }

func (r raw) RawManifest() ([]byte, error)        { return r.data, nil }
func (r raw) MediaType() (types.MediaType, error) { return types.OCIManifestSchema1, nil }

// repo is a repository below the prefix, and how to reach it.
func (p *place) repo(t testing.TB, path string) (name.Repository, []remote.Option) {
	t.Helper()
	repo, err := name.NewRepository(strings.TrimPrefix(p.at.String(), "docker://") + "/" + path)
	if err != nil {
		t.Fatal(err)
	}
	return repo, []remote.Option{remote.WithAuthFromKeychain(p.opts.Keychain), remote.WithContext(t.Context()),
		remote.WithTransport(trusting(t, p.reg.CA))}
}

func (p *place) Leftovers(t testing.TB) []string {
	t.Helper()
	spools, err := filepath.Glob(filepath.Join(p.opts.Temp, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return append(spools, p.reg.Uploads(t)...)
}
