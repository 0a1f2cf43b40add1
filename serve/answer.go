package serve

import (
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// The codes of errors, as the OCI distribution specification lists them; the
// last two are those of registries that came before it.
const (
	codeBlobUnknown     = "BLOB_UNKNOWN"
	codeDigestInvalid   = "DIGEST_INVALID"
	codeManifestUnknown = "MANIFEST_UNKNOWN"
	codeNameInvalid     = "NAME_INVALID"
	codeNameUnknown     = "NAME_UNKNOWN"
	codeUnauthorized    = "UNAUTHORIZED"
	codeUnsupported     = "UNSUPPORTED"
	codePageInvalid     = "PAGINATION_NUMBER_INVALID"
	codeUnknown         = "UNKNOWN"
)

// failure is an error that the client is told as it is.
type failure struct {
	status  int
	code    string
	message string
}

func (f *failure) Error() string { return f.message }

func notFound(code, message string) error {
	return &failure{http.StatusNotFound, code, message}
}

// writeWait is how long a client may leave one block of an answer unread.
const writeWait = 2 * time.Minute

// answer notes what is answered.
type answer struct {
	http.ResponseWriter
	control *http.ResponseController
	status  int
	bytes   int64
	gone    bool // the client takes no more
	err     error
}

func (a *answer) WriteHeader(status int) {
	a.status = status
	a.extend()
	a.ResponseWriter.WriteHeader(status)
}

func (a *answer) Write(b []byte) (int, error) {
	if a.status == 0 {
		a.status = http.StatusOK
	}
	a.extend()
	n, err := a.ResponseWriter.Write(b)
	a.bytes += int64(n)
	a.gone = a.gone || err != nil
	return n, err
}

// extend gives the client time for what is written next.
func (a *answer) extend() {
	_ = a.control.SetWriteDeadline(time.Now().Add(writeWait)) // what can't be set, as in a test's recorder, is not needed
}

// fail tells the client of an error. Where the answer has begun it is broken
// off: it must not look whole.
func (a *answer) fail(req *http.Request, err error) {
	var f *failure
	if !errors.As(err, &f) {
		if !a.gone && req.Context().Err() == nil {
			a.err = err
		}
		f = &failure{http.StatusInternalServerError, codeUnknown, "the archive can't give this: the log of archprune serve says why"}
	}
	if a.status != 0 {
		panic(http.ErrAbortHandler)
	}
	for _, name := range []string{"Content-Length", "Content-Range", "Docker-Content-Digest", "Etag", "Cache-Control", "Accept-Ranges"} {
		a.Header().Del(name)
	}
	type entry struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	doc := struct {
		Errors []entry `json:"errors"`
	}{[]entry{{f.code, f.message}}}
	a.send(req, f.status, "application/json", line(mustJSON(doc)))
}

// json answers with a document.
func (a *answer) json(req *http.Request, doc any) error {
	a.send(req, http.StatusOK, "application/json", line(mustJSON(doc)))
	return nil
}

// send answers with a body, of which HEAD wants the headers alone.
func (a *answer) send(req *http.Request, status int, mediaType string, body []byte) {
	a.Header().Set("Content-Type", mediaType)
	a.Header().Set("Content-Length", strconv.Itoa(len(body)))
	a.WriteHeader(status)
	if req.Method != http.MethodHead {
		_, _ = a.Write(body) // a client that has gone needs no answer
	}
}

// line is a document as a person who asks with curl wants to see it.
func line(doc []byte) []byte { return append(doc, '\n') }

// mustJSON encodes what always can be.
func mustJSON(doc any) []byte {
	data, err := json.Marshal(doc)
	if err != nil {
		panic(err)
	}
	return data
}

// content sets the headers of content that has a digest, and reports whether
// the client has it already, in which case it is told so.
func (a *answer) content(req *http.Request, d string) (had bool) {
	tag := `"` + d + `"`
	a.Header().Set("Docker-Content-Digest", d)
	a.Header().Set("Etag", tag)
	if !matches(req.Header.Get("If-None-Match"), tag) {
		return false
	}
	a.WriteHeader(http.StatusNotModified)
	return true
}

// matches reports whether an If-None-Match header names the tag (RFC 9110,
// section 13.1.2). Some clients write the digest without its quotes.
func matches(header, tag string) bool {
	for part := range strings.SplitSeq(header, ",") {
		part = strings.TrimPrefix(strings.TrimSpace(part), "W/")
		if part == "*" || strings.Trim(part, `"`) == strings.Trim(tag, `"`) {
			return true
		}
	}
	return false
}
