package push

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/internal/fuzztest"
)

// FuzzRegistry takes documents for requests: their names are method and path,
// in which $u stands for the upload begun last, $d for the digest of the body
// and $0, in bodies too, for that of the first request's. No request brings an answer of
// the server's own fault; what counts as there came with that digest; an image
// that was archived is whole; and no upload holds up the end.
func FuzzRegistry(f *testing.F) {
	const uploads, manifests = repository + "/blobs/uploads/", repository + "/manifests/"
	for _, seed := range []string{
		"-- GET /v2/ --\n-- HEAD " + repository + "/blobs/$d --\n",
		"-- POST " + uploads + " --\n-- PATCH $u --\nlay\n-- PATCH $u --\ner\n-- GET $u --\n-- PUT $u?digest=$d --\n-- DELETE $u --\n",
		"-- POST " + uploads + "?digest=$d --\n{\"rootfs\":{}}\n-- PUT " + manifests + "archprune --\n{\"config\":{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"digest\":\"$0\"},\"layers\":[]}\n",
		"-- PUT " + manifests + "$d --\n{\"manifests\":[{\"digest\":\"../..\"},{\"digest\":\"$0\"}]}\n-- PUT " + manifests + "archprune --\n{}\n-- HEAD " + manifests + "x --\n",
		"-- POST " + uploads + "?mount=$d&from=a --\n-- PUT $u?digest=sha512:00 --\n\x1f\x8bx\n",
	} {
		f.Add(seed, false)
		f.Add(seed, true)
	}
	f.Fuzz(func(t *testing.T, script string, classic bool) {
		store := engine.Containerd
		if classic {
			store = engine.Classic
		}
		requests := fuzztest.Parts(script)
		if len(requests) == 0 {
			return
		}
		var earlier []string
		for i, request := range requests {
			requests[i].Data = strings.NewReplacer(earlier...).Replace(request.Data)
			if i < 10 {
				earlier = append(earlier, "$"+strconv.Itoa(i), digest.FromString(requests[i].Data).String())
			}
		}
		awaited := digest.FromString(requests[len(requests)-1].Data)
		if classic {
			awaited = digest.FromString(requests[0].Data)
		}
		arch, err := archive.CreateFolder(filepath.Join(t.TempDir(), "archive"), archive.Options{FS: fuzztest.Hasty})
		if err != nil {
			t.Fatal(err)
		}
		defer arch.Close()
		session, err := arch.NewPush(t.Context(), store)
		if err != nil {
			t.Fatal(err)
		}
		r := &registry{slots: make(chan struct{}, maxUploads), uploads: map[string]*upload{}}
		to := &intake{push: session, store: store, fail: func(error) {}, awaited: map[string]digest.Digest{"archprune": awaited}}
		r.receive(to)
		routes, upload := r.routes(), "/"
		bodies := map[digest.Digest]bool{}
		patched := false
		for _, request := range requests {
			d := digest.FromString(request.Data)
			bodies[d] = true
			known := strings.NewReplacer(append(earlier, "$u", upload, "$d", d.String())...)
			method, path, _ := strings.Cut(known.Replace(request.Name), " ")
			req, err := http.NewRequestWithContext(t.Context(), method, "http://127.0.0.1"+path, strings.NewReader(request.Data))
			if err != nil || !strings.HasPrefix(path, "/") {
				continue
			}
			patched = patched || method == http.MethodPatch
			answer := httptest.NewRecorder()
			routes.ServeHTTP(answer, req)
			if answer.Code >= 500 {
				t.Errorf("%s %s: %d %s", method, path, answer.Code, answer.Body)
			}
			if at := answer.Header().Get("Location"); strings.HasPrefix(at, uploads) {
				upload = at
			}
			if asked, ok := strings.CutPrefix(path, repository+"/blobs/"); ok && method == http.MethodHead && answer.Code == http.StatusOK && !patched && !bodies[digest.Digest(asked)] {
				t.Errorf("%s never came, but is said to be there", asked)
			}
		}
		r.receive(nil)
		to.running.Wait()
		if len(r.slots) > 0 {
			t.Errorf("%d uploads still take a place", len(r.slots))
		}
		results, err := session.Assemble([]engine.Image{{ID: awaited}}, engine.Info{Store: store})
		if err == nil && results[0].Err == nil {
			if err := arch.Check(t.Context(), results[0].Record, nil); err != nil {
				t.Errorf("what was archived is not whole: %v", err)
			}
		}
	})
}
