package docker

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/docker/docker/api/types/image"
	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/engine/enginetest"
)

func digestOf(s string) digest.Digest { return digest.Digest(s) }

// commit makes an image and a child of it.
func commit(t *testing.T, e *enginetest.Engine, parent, child string) (parentID, childID digest.Digest) {
	t.Helper()
	return e.Load(t, sample(parent, parent))[0], derive(t, e, parent, child)
}

// derive makes a child of an image.
func derive(t *testing.T, e *enginetest.Engine, parent, child string) digest.Digest {
	t.Helper()
	ctr := e.CreateContainer(t, parent, "/key")
	defer e.RemoveContainer(t, ctr)
	return e.Commit(t, ctr, child)
}

// registry keeps what is pushed and gives it back, for the digest names that a
// classic store gives to a pushed or pulled image. It knows no repositories.
type registry struct {
	mu    sync.Mutex
	blobs map[string]content // by digest or tag
	parts map[string][]byte  // uploads under way, by path
}

type content struct {
	kind string
	data []byte
}

func (s *registry) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	path := strings.TrimSuffix(r.URL.Path, "/")
	switch r.Method {
	case http.MethodHead, http.MethodGet:
		s.give(w, path[strings.LastIndex(path, "/")+1:])
	case http.MethodPost:
		w.Header().Set("Location", fmt.Sprintf("http://%s%s/%d", r.Host, path, len(s.parts)))
		s.parts[fmt.Sprintf("%s/%d", path, len(s.parts))] = nil
		w.WriteHeader(http.StatusAccepted)
	case http.MethodPatch:
		s.take(r)
		w.Header().Set("Location", "http://"+r.Host+path)
		w.Header().Set("Range", fmt.Sprintf("0-%d", len(s.parts[r.URL.Path])-1))
		w.WriteHeader(http.StatusAccepted)
	case http.MethodPut:
		s.take(r)
		blob := content{r.Header.Get("Content-Type"), s.parts[r.URL.Path]}
		id := digest.FromBytes(blob.data).String()
		s.blobs[id], s.blobs[path[strings.LastIndex(path, "/")+1:]] = blob, blob
		w.Header().Set("Docker-Content-Digest", id)
		w.WriteHeader(http.StatusCreated)
	}
}

func (s *registry) give(w http.ResponseWriter, name string) {
	if name == "v2" {
		return
	}
	blob, ok := s.blobs[name]
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", blob.kind)
	w.Header().Set("Content-Length", fmt.Sprint(len(blob.data)))
	w.Header().Set("Docker-Content-Digest", digest.FromBytes(blob.data).String())
	_, _ = w.Write(blob.data)
}

func (s *registry) take(r *http.Request) {
	data, _ := io.ReadAll(r.Body)
	s.parts[r.URL.Path] = append(s.parts[r.URL.Path], data...)
}

// startRegistry returns the address of a registry on this machine.
func startRegistry(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(&registry{blobs: map[string]content{}, parts: map[string][]byte{}})
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://")
}

// finish reads the answer of a push or pull.
func finish(t *testing.T, body io.ReadCloser, err error) {
	t.Helper()
	if err := finished(body, err); err != nil {
		t.Fatal(err)
	}
}

func finished(body io.ReadCloser, err error) error {
	if err != nil {
		return err
	}
	defer body.Close()
	out, err := io.ReadAll(body)
	if err != nil || strings.Contains(string(out), "errorDetail") {
		return fmt.Errorf("%v\n%s", err, out)
	}
	return nil
}

// distribute gives an image a tag and a digest name in each repository.
func distribute(t *testing.T, e *enginetest.Engine, id digest.Digest, repos ...string) {
	t.Helper()
	for _, repo := range repos {
		e.Tag(t, id.String(), repo+":1")
		body, err := e.API().ImagePush(t.Context(), repo+":1", image.PushOptions{RegistryAuth: "e30="})
		finish(t, body, err)
	}
}

// pullByDigest replaces an image by one that has its digest names alone.
func pullByDigest(t *testing.T, e *enginetest.Engine, img engine.Image) {
	t.Helper()
	e.Reset(t)
	for _, name := range img.RepoDigests {
		err := enginetest.Insist(func() error { return finished(e.API().ImagePull(t.Context(), name, image.PullOptions{})) })
		if err != nil {
			t.Fatal(err)
		}
	}
}

func TestRemoveWithDigestNames(t *testing.T) {
	for name, repos := range map[string][]string{"one repository": {"a"}, "two repositories": {"a", "b"}} {
		for _, tagged := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, tagged=%v", name, tagged), func(t *testing.T) {
				e, _ := setup(t)
				w := tap(t, e)
				host := startRegistry(t)
				id := e.Load(t, sample("x"))[0]
				e.Except(t, enginetest.NoPlainRegistry, func() { wantNoPlainPush(t, e, id, host+"/a:1") })
				for _, repo := range repos {
					distribute(t, e, id, host+"/"+repo)
				}
				img := inspect(t, w.Client, id.String())
				if len(img.References) != len(repos) || len(img.RepoDigests) != len(repos) {
					t.Fatalf("image = %+v, want a tag and a digest name of each repository", img)
				}
				if !tagged {
					pullByDigest(t, e, img)
					img = inspect(t, w.Client, id.String())
					if len(img.References) > 0 || len(img.RepoDigests) != len(repos) {
						t.Fatalf("image = %+v, want digest names alone", img)
					}
				}
				_, err := w.Remove(t.Context(), img)
				if e.Store == engine.Containerd && !tagged && len(repos) > 1 {
					// It can't be removed in one call, and digest names can't be
					// given back after several.
					if !errors.Is(err, engine.ErrConflict) {
						t.Errorf("Remove = %v, want a conflict", err)
					}
					wantNames(t, w.Client, img.ID)
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				wantGone(t, e, img.ID.String())
				forced := strings.Contains(w.removals[0], "force=1")
				if want := e.Store == engine.Classic && len(repos) > 1; forced != want {
					t.Errorf("removal requests = %q, want force %v", w.removals, want)
				}
			})
		}
	}
}
