package push

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/engine"
)

// maxManifest is what the OCI distribution specification has registries take
// at least.
const maxManifest = 4 << 20

// repository is the only one.
const repository = "/v2/" + engine.BorrowedPath

// routes is the part of the OCI distribution protocol that engines use to push.
// There is nothing to read here.
func (r *registry) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /v2/{$}", r.greet)
	mux.HandleFunc("HEAD "+repository+"/blobs/{digest}", r.headBlob)
	mux.HandleFunc("POST "+repository+"/blobs/uploads/{$}", r.begin)
	mux.HandleFunc("GET "+repository+"/blobs/uploads/{id}", r.status)
	mux.HandleFunc("PATCH "+repository+"/blobs/uploads/{id}", r.append)
	mux.HandleFunc("PUT "+repository+"/blobs/uploads/{id}", r.commit)
	mux.HandleFunc("DELETE "+repository+"/blobs/uploads/{id}", r.cancel)
	mux.HandleFunc("HEAD "+repository+"/manifests/{ref}", func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, http.StatusNotFound, "MANIFEST_UNKNOWN", "manifests are always taken anew")
	})
	mux.HandleFunc("PUT "+repository+"/manifests/{ref}", r.putManifest)
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, http.StatusNotFound, "NAME_UNKNOWN", "there is no such thing here")
	})
	return mux
}

func (r *registry) greet(w http.ResponseWriter, _ *http.Request) {
	r.mu.Lock()
	r.hello = true
	r.mu.Unlock()
	w.Header().Set("Docker-Distribution-API-Version", "registry/2.0")
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, "{}")
}

// receive says where uploads go from now on; nil is nowhere.
func (r *registry) receive(to *intake) {
	r.mu.Lock()
	r.to = to
	left := r.uploads
	r.uploads = map[string]*upload{}
	r.mu.Unlock()
	for _, u := range left {
		u.drop()
	}
}

// intake returns where uploads go, or answers that none is awaited.
func (r *registry) intake(w http.ResponseWriter) *intake {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.to == nil {
		refuse(w, http.StatusForbidden, "DENIED", errNotAwaited.Error())
	}
	return r.to
}

func (r *registry) headBlob(w http.ResponseWriter, req *http.Request) {
	to := r.intake(w)
	if to == nil {
		return
	}
	d := digest.Digest(req.PathValue("digest"))
	size, ok := to.push.Has(d)
	if !ok {
		refuse(w, http.StatusNotFound, "BLOB_UNKNOWN", "it is to be uploaded")
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Docker-Content-Digest", d.String())
	w.Header().Set("Content-Length", strconv.FormatInt(size, 10)) // engines take an answer without it for none
}

func (r *registry) putManifest(w http.ResponseWriter, req *http.Request) {
	to := r.intake(w)
	if to == nil {
		return
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxManifest))
	if err != nil {
		refuse(w, http.StatusRequestEntityTooLarge, "MANIFEST_INVALID", err.Error())
		return
	}
	ref := digest.Digest(req.PathValue("ref"))
	named := ref.Validate() != nil
	d, err := to.push.Manifest(req.Header.Get("Content-Type"), data, named)
	switch {
	case err != nil:
		to.refuse(w, err)
	case !named && d != ref:
		refuse(w, http.StatusBadRequest, "DIGEST_INVALID", fmt.Sprintf("content of %s came as %s", d, ref))
	case named && to.last(req.PathValue("ref"), d):
		// All has come. An engine to which the push succeeds would note it: a
		// digest name on a graph driver, labels on each blob of a containerd
		// store.
		refuse(w, http.StatusForbidden, "DENIED", "archprune has received the image and keeps no name of it")
	default:
		w.Header().Set("Location", repository+"/manifests/"+d.String())
		w.Header().Set("Docker-Content-Digest", d.String())
		w.WriteHeader(http.StatusCreated)
	}
}

// refuse ends the whole push, for what the archive can't take now it can't take
// when the engine tries again either.
func (u *intake) refuse(w http.ResponseWriter, err error) {
	u.fail(err)
	refuse(w, http.StatusForbidden, "DENIED", err.Error())
}

// refuse answers with an error in the form of the protocol.
func refuse(w http.ResponseWriter, status int, code, message string) {
	type one struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	body, err := json.Marshal(map[string][]one{"errors": {{code, message}}})
	if err != nil {
		panic(errors.Join(errors.New("two strings are always JSON"), err))
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}
