package push

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
)

// desk is a registry with a push under way, and a client of it.
type desk struct {
	*testing.T
	registry *registry
	intake   *intake
	failed   error
}

func newDesk(t *testing.T, store engine.StoreKind) *desk {
	t.Helper()
	f, err := archive.CreateFolder(filepath.Join(t.TempDir(), "archive"), archive.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	session, err := f.NewPush(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	r, err := listen()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		r.close()
		http.DefaultClient.CloseIdleConnections() // the next registry may get the same port
	})
	d := &desk{T: t, registry: r}
	d.intake = &intake{push: session, store: store, fail: func(err error) { d.failed = err }, awaited: map[string]digest.Digest{}}
	r.receive(d.intake)
	return d
}

// do makes a request with the run's credential and checks the answer's status.
func (d *desk) do(want int, method, path string, body []byte) *http.Response {
	d.Helper()
	return d.send(want, method, path, bytes.NewReader(body), d.registry.password)
}

func (d *desk) send(want int, method, path string, body io.Reader, password string) *http.Response {
	d.Helper()
	req, err := http.NewRequestWithContext(d.Context(), method, "http://"+d.registry.address+path, body)
	if err != nil {
		d.Fatal(err)
	}
	if password != "" {
		req.SetBasicAuth(d.registry.user, password)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		d.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		d.Fatal(err)
	}
	if res.StatusCode != want {
		d.Errorf("%s %s: %s %s, want %d", method, path, res.Status, answer, want)
	}
	return res
}

func (d *desk) begin() string {
	d.Helper()
	location := d.do(http.StatusAccepted, "POST", repository+"/blobs/uploads/", nil).Header.Get("Location")
	if !strings.HasPrefix(location, repository+"/blobs/uploads/") {
		d.Fatalf("Location = %q", location)
	}
	return location
}

func (d *desk) size(blob digest.Digest) string {
	d.Helper()
	return d.do(http.StatusOK, "HEAD", repository+"/blobs/"+blob.String(), nil).Header.Get("Content-Length")
}

func gzipped(t testing.TB, data []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// everyRequest is one of each that the registry knows, and some that it
// doesn't.
var everyRequest = []struct{ method, path string }{
	{"GET", "/v2/"}, {"GET", "/"}, {"GET", "/v2/_catalog"},
	{"HEAD", repository + "/blobs/" + digest.FromString("x").String()},
	{"GET", repository + "/blobs/" + digest.FromString("x").String()},
	{"POST", repository + "/blobs/uploads/"},
	{"POST", repository + "/blobs/uploads/?digest=" + digest.FromString("x").String()},
	{"GET", repository + "/blobs/uploads/x"}, {"PATCH", repository + "/blobs/uploads/x"},
	{"PUT", repository + "/blobs/uploads/x?digest=" + digest.FromString("x").String()},
	{"DELETE", repository + "/blobs/uploads/x"},
	{"HEAD", repository + "/manifests/x"}, {"PUT", repository + "/manifests/x"},
}

func TestNothingWithoutTheCredential(t *testing.T) {
	d := newDesk(t, engine.Containerd)
	for _, r := range everyRequest {
		for _, password := range []string{"", "wrong", d.registry.password + "x"} {
			res := d.send(http.StatusUnauthorized, r.method, r.path, strings.NewReader("x"), password)
			if got := res.Header.Get("WWW-Authenticate"); got != realm {
				t.Errorf("%s %s: WWW-Authenticate = %q, want %q", r.method, r.path, got, realm)
			}
		}
	}
	if len(d.registry.uploads) > 0 || d.registry.greeted() {
		t.Error("a request without the credential left something")
	}
	other, err := listen()
	if err != nil {
		t.Fatal(err)
	}
	defer other.close()
	d.send(http.StatusUnauthorized, "GET", "/v2/", http.NoBody, other.password)
	d.do(http.StatusOK, "GET", "/v2/", nil)
	if !d.registry.greeted() {
		t.Error("a request with the credential was not noticed")
	}
}

func TestOnlyOnTheLoopback(t *testing.T) {
	d := newDesk(t, engine.Containerd)
	host, port, err := net.SplitHostPort(d.registry.address)
	if err != nil || host != "127.0.0.1" {
		t.Fatalf("the address is %s (%v), want 127.0.0.1", d.registry.address, err)
	}
	others := []string{"127.0.0.2", "::1"}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range addrs {
		if ip, ok := a.(*net.IPNet); ok && !ip.IP.IsLoopback() {
			others = append(others, ip.IP.String())
		}
	}
	for _, ip := range others {
		if conn, err := net.Dial("tcp", net.JoinHostPort(ip, port)); err == nil {
			conn.Close()
			t.Errorf("it listens on %s too", ip)
		}
	}
}

// A second run on the same host gets a port of its own.
func TestTwoRuns(t *testing.T) {
	a, b := newDesk(t, engine.Classic), newDesk(t, engine.Classic)
	if a.registry.address == b.registry.address || a.registry.password == b.registry.password {
		t.Errorf("two runs have address %s and %s and maybe one credential", a.registry.address, b.registry.address)
	}
	name := func(d *desk, run string) string { return engine.BorrowedName(d.registry.address, run, 0) }
	if !alive(t.Context(), name(a, a.registry.run)) || !alive(t.Context(), name(b, b.registry.run)) {
		t.Error("a run at work counts as dead")
	}
	if alive(t.Context(), name(a, b.registry.run)) {
		t.Error("a run counts as alive since another listens where it did")
	}
	old := a.registry.address + "/archprune/push:borrowed-0" // as it was before runs told who they are
	if !alive(t.Context(), old) {
		t.Error("a name of any run counts as one of a dead run while one is at work there")
	}
	if err := b.registry.close(); err != nil {
		t.Fatal(err)
	}
	if alive(t.Context(), name(b, b.registry.run)) {
		t.Error("a run that is over counts as alive")
	}
}

// A run that is too busy to answer is not taken for dead.
func TestSilentRun(t *testing.T) {
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if !alive(ctx, engine.BorrowedName(l.Addr().String(), "RUN", 0)) {
		t.Error("who does not answer in time counts as dead")
	}
}

// Engines try TLS first, and go on in plain text only if the answer is HTTP.
func TestAnswersTLSInPlainText(t *testing.T) {
	d := newDesk(t, engine.Classic)
	_, err := tls.Dial("tcp", d.registry.address, &tls.Config{InsecureSkipVerify: true})
	var record tls.RecordHeaderError
	if !errors.As(err, &record) || !bytes.HasPrefix(record.RecordHeader[:], []byte("HTTP/")) {
		t.Errorf("TLS handshake: %v, want an answer in plain HTTP", err)
	}
}

func TestUploads(t *testing.T) {
	tar := bytes.Repeat([]byte("content of a layer "), 10_000)
	for _, store := range []engine.StoreKind{engine.Classic, engine.Containerd} {
		blob := gzipped(t, tar)
		d := digest.FromBytes(blob)
		for name, upload := range map[string]func(*desk){
			"at once": func(c *desk) { c.do(http.StatusCreated, "PUT", c.begin()+"?digest="+d.String(), blob) },
			"with it": func(c *desk) { c.do(http.StatusCreated, "POST", repository+"/blobs/uploads/?digest="+d.String(), blob) },
			"in parts": func(c *desk) {
				at := c.begin()
				c.do(http.StatusAccepted, "PATCH", at, blob[:100])
				if got := c.do(http.StatusNoContent, "GET", at, nil).Header.Get("Range"); got != "0-99" {
					t.Errorf("Range = %q, want 0-99", got)
				}
				c.do(http.StatusAccepted, "PATCH", at, blob[100:200])
				c.do(http.StatusCreated, "PUT", at+"?digest="+d.String(), blob[200:])
				c.do(http.StatusNotFound, "PUT", at+"?digest="+d.String(), nil)
			},
			"after a mount": func(c *desk) {
				at := c.do(http.StatusAccepted, "POST", repository+"/blobs/uploads/?mount="+d.String()+"&from=team/api", nil).Header.Get("Location")
				c.do(http.StatusCreated, "PUT", at+"?digest="+d.String(), blob)
			},
		} {
			t.Run(string(store)+" "+name, func(t *testing.T) {
				c := newDesk(t, store)
				c.do(http.StatusNotFound, "HEAD", repository+"/blobs/"+d.String(), nil)
				upload(c)
				if got, want := c.size(d), len(blob); got != strconv.Itoa(want) {
					t.Errorf("Content-Length = %s, want %d", got, want)
				}
				if c.failed != nil {
					t.Error(c.failed)
				}
			})
		}
	}
}

func TestUploadsThatAreRefused(t *testing.T) {
	layer := gzipped(t, []byte("a layer"))
	right := digest.FromBytes(layer)
	wrong := digest.FromString("something else")
	for _, store := range []engine.StoreKind{engine.Classic, engine.Containerd} {
		t.Run(string(store), func(t *testing.T) {
			c := newDesk(t, store)
			c.do(http.StatusBadRequest, "PUT", c.begin()+"?digest="+wrong.String(), layer)
			c.do(http.StatusNotFound, "HEAD", repository+"/blobs/"+wrong.String(), nil)
			c.do(http.StatusNotFound, "HEAD", repository+"/blobs/"+right.String(), nil)
			c.do(http.StatusBadRequest, "PUT", c.begin()+"?digest=sha256:short", layer)
			c.do(http.StatusBadRequest, "PUT", c.begin(), layer)
			c.do(http.StatusNotFound, "PATCH", repository+"/blobs/uploads/unknown", layer)
			gone := c.begin()
			c.do(http.StatusAccepted, "PATCH", gone, layer[:5])
			c.do(http.StatusNoContent, "DELETE", gone, nil)
			c.do(http.StatusNotFound, "PUT", gone+"?digest="+right.String(), layer[5:])
			c.do(http.StatusNotFound, "POST", "/v2/other/blobs/uploads/", nil)
			c.do(http.StatusNotFound, "PUT", "/v2/other/manifests/x", []byte("{}"))
			c.do(http.StatusRequestEntityTooLarge, "PUT", repository+"/manifests/x", bytes.Repeat([]byte("x"), maxManifest+1))
			c.do(http.StatusBadRequest, "PUT", repository+"/manifests/"+wrong.String(), []byte("{}"))
			c.do(http.StatusNotFound, "HEAD", repository+"/blobs/none", nil)
			c.do(http.StatusNotFound, "HEAD", repository+"/manifests/x", nil)
			c.do(http.StatusCreated, "PUT", c.begin()+"?digest="+right.String(), layer)
			c.registry.receive(nil)
			c.do(http.StatusForbidden, "POST", repository+"/blobs/uploads/", nil)
			c.do(http.StatusForbidden, "PUT", repository+"/manifests/x", []byte("{}"))
			c.do(http.StatusForbidden, "HEAD", repository+"/blobs/"+right.String(), nil)
		})
	}
}

// What does not decompress, or breaks off, ends the push: the engine's own
// words would be about the connection.
func TestBadLayerEndsThePush(t *testing.T) {
	layer := gzipped(t, bytes.Repeat([]byte("a layer "), 10_000))
	cut := layer[:len(layer)/2]
	c := newDesk(t, engine.Classic)
	c.do(http.StatusForbidden, "PUT", c.begin()+"?digest="+digest.FromBytes(cut).String(), cut)
	if !errors.Is(c.failed, archive.ErrIncomplete) {
		t.Errorf("the push failed with %v, want ErrIncomplete", c.failed)
	}
	c.registry.receive(nil)
	c.intake.running.Wait()
}

// An upload that nobody ends does not hold up the end of a push.
func TestUnfinishedUpload(t *testing.T) {
	c := newDesk(t, engine.Classic)
	at := c.begin()
	c.do(http.StatusAccepted, "PATCH", at, gzipped(t, []byte("a layer")))
	c.registry.receive(nil)
	c.intake.running.Wait()
	if len(c.registry.slots) > 0 {
		t.Error("the upload still takes a place")
	}
}

// An upload that waits for its turn while the push ends is not read after that:
// the archive may be closed by then.
func TestUploadWaitsBeyondThePush(t *testing.T) {
	c := newDesk(t, engine.Classic)
	for range maxUploads {
		c.registry.slots <- struct{}{}
	}
	at := c.begin()
	u := c.registry.uploads[path.Base(at)]
	var answered sync.WaitGroup
	answered.Go(func() { c.do(http.StatusForbidden, "PATCH", at, gzipped(t, []byte("a layer"))) })
	for u.mu.TryLock() { // whose request waits holds it
		u.mu.Unlock()
		time.Sleep(time.Millisecond)
	}
	c.registry.receive(nil)
	c.intake.running.Wait()
	for range maxUploads {
		<-c.registry.slots
	}
	answered.Wait()
	if u.started {
		t.Error("the upload was read after the end of the push")
	}
	if len(c.registry.slots) > 0 {
		t.Error("the upload still takes a place")
	}
}

// The manifest that an image is known by is taken, and its name refused. What
// an index needs beside it is taken as it comes.
func TestManifestIsTakenAndItsNameRefused(t *testing.T) {
	child, index := []byte(`{"schemaVersion":2}`), []byte(`{"schemaVersion":2,"manifests":[]}`)
	c := newDesk(t, engine.Containerd)
	c.intake.expect("borrowed", digest.FromBytes(index))
	c.do(http.StatusCreated, "PUT", repository+"/manifests/"+digest.FromBytes(child).String(), child)
	c.do(http.StatusCreated, "PUT", repository+"/manifests/borrowed", child)
	c.do(http.StatusCreated, "PUT", repository+"/manifests/other", index)
	if c.intake.complete("borrowed") {
		t.Error("another manifest ends the push")
	}
	c.do(http.StatusForbidden, "PUT", repository+"/manifests/borrowed", index)
	if !c.intake.complete("borrowed") || c.failed != nil {
		t.Errorf("complete = %v, failed = %v; want the manifest to be taken", c.intake.complete("borrowed"), c.failed)
	}
	graph := newDesk(t, engine.Classic) // the image is known by its config
	graph.intake.expect("borrowed", digest.FromString("config"))
	graph.do(http.StatusForbidden, "PUT", repository+"/manifests/borrowed", child)
	if !graph.intake.complete("borrowed") {
		t.Error("the manifest does not end the push")
	}
}
