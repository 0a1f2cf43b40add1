// Package registrytest starts real OCI registries for tests: Debian's
// docker-registry, private to the test, on a free port of 127.0.0.1.
package registrytest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/crypto/bcrypt"
)

// startWait bounds how long a registry may take to answer.
const startWait = 2 * time.Minute

// Options for a registry. The zero value is one without a login, over plain
// HTTP, that does not delete.
type Options struct {
	User, Password string // that it asks for; none where empty
	TLS            bool   // with a certificate by a CA of its own
	Delete         bool
	Token          bool // asks for tokens, of a server that knows User and Password
}

// Registry is a running registry.
type Registry struct {
	Addr string // host and port
	CA   string // file of its CA, with TLS

	opts   Options
	dir    string
	config string
	token  *tokenServer

	mu    sync.Mutex
	cmd   *exec.Cmd // nil while it does not run
	ended chan struct{}
}

// Start starts a registry, which ends with the test.
func Start(t testing.TB, opts Options) *Registry {
	t.Helper()
	if _, err := exec.LookPath("docker-registry"); err != nil {
		t.Fatalf("this test needs docker-registry: get it by scripts/engine.sh host")
	}
	r := &Registry{Addr: FreeAddr(t), opts: opts, dir: t.TempDir()}
	r.config = filepath.Join(r.dir, "config.yml")
	if opts.TLS {
		r.CA = r.path("ca.pem")
		writeCertificates(t, r.dir)
	}
	if opts.Token {
		r.token = startTokenServer(t, r.dir, opts)
	}
	if err := os.WriteFile(r.config, []byte(r.yaml(t)), 0o600); err != nil {
		t.Fatal(err)
	}
	r.Restart(t)
	t.Cleanup(r.Kill)
	return r
}

// FreeAddr returns an address of 127.0.0.1 that nobody listens at. Its port is
// below those that the kernel gives to who asks for any, so that nobody has it by
// chance before it is listened at, or while who listens there is started again.
func FreeAddr(t testing.TB) string {
	t.Helper()
	var err error
	for range 100 {
		addr := fmt.Sprintf("127.0.0.1:%d", 10_000+rand.IntN(20_000))
		var l net.Listener
		if l, err = net.Listen("tcp", addr); err == nil {
			l.Close()
			return addr
		}
	}
	t.Fatal(err)
	return ""
}

func (r *Registry) path(name string) string { return filepath.Join(r.dir, name) }

// yaml is the registry's configuration. Without a secret, an upload does not
// survive a restart, as with most registries.
func (r *Registry) yaml(t testing.TB) string {
	var b strings.Builder
	fmt.Fprintf(&b, "version: 0.1\nlog:\n  level: error\n  accesslog:\n    disabled: true\n")
	fmt.Fprintf(&b, "storage:\n  filesystem:\n    rootdirectory: %s\n  delete:\n    enabled: %v\n", r.path("data"), r.opts.Delete)
	fmt.Fprintf(&b, "http:\n  addr: %s\n", r.Addr)
	if r.opts.TLS {
		fmt.Fprintf(&b, "  tls:\n    certificate: %s\n    key: %s\n", r.path("cert.pem"), r.path("key.pem"))
	}
	switch {
	case r.opts.Token:
		b.WriteString(r.token.yaml())
	case r.opts.User != "":
		hash, err := bcrypt.GenerateFromPassword([]byte(r.opts.Password), bcrypt.MinCost)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(r.path("htpasswd"), fmt.Appendf(nil, "%s:%s\n", r.opts.User, hash), 0o600); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "auth:\n  htpasswd:\n    realm: test\n    path: %s\n", r.path("htpasswd"))
	}
	return b.String()
}

// Restart starts the registry where it does not run, with the content that it
// had, and waits until it answers.
func (r *Registry) Restart(t testing.TB) {
	t.Helper()
	if err := r.start(); err != nil {
		t.Fatal(err)
	}
}

func (r *Registry) start() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.cmd != nil {
		return nil
	}
	log, err := os.OpenFile(r.path("log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command("docker-registry", "serve", r.config)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + r.dir}
	cmd.Stdout, cmd.Stderr = log, log
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := r.run(cmd); err != nil {
		return err
	}
	for deadline := time.Now().Add(startWait); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", r.Addr); err == nil {
			return c.Close()
		}
	}
	r.kill()
	said, _ := os.ReadFile(r.path("log"))
	return fmt.Errorf("docker-registry does not answer at %s: %s", r.Addr, bytes.TrimSpace(said))
}

// run starts the process and waits for its end in a thread of its own: the
// kernel sends Pdeathsig when the thread that made the process ends.
func (r *Registry) run(cmd *exec.Cmd) error {
	started, ended := make(chan error, 1), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(ended)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait()
		}
	}()
	if err := <-started; err != nil {
		return err
	}
	r.cmd, r.ended = cmd, ended
	return nil
}

// Kill ends the registry at once, as a crash does.
func (r *Registry) Kill() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.kill()
}

func (r *Registry) kill() {
	if r.cmd == nil {
		return
	}
	_ = r.cmd.Process.Kill()
	<-r.ended
	r.cmd = nil
}

// PID is the registry's process.
func (r *Registry) PID() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.cmd.Process.Pid
}

// Data is the folder of all that the registry has.
func (r *Registry) Data() string { return r.path("data") }

// Wipe removes all that the registry has, while it runs.
func (r *Registry) Wipe(t testing.TB) {
	t.Helper()
	if err := os.RemoveAll(r.path("data")); err != nil {
		t.Fatal(err)
	}
}

// DockerConfig makes a folder for DOCKER_CONFIG with the registry's
// credentials, and returns it.
func (r *Registry) DockerConfig(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	auth := base64.StdEncoding.EncodeToString([]byte(r.opts.User + ":" + r.opts.Password))
	data, err := json.Marshal(map[string]any{"auths": map[string]any{r.Addr: map[string]string{"auth": auth}}})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), data, 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// BlobFile is where the registry keeps a blob of any repository.
func (r *Registry) BlobFile(d digest.Digest) string {
	hex := d.Encoded()
	return filepath.Join(r.dir, "data", "docker", "registry", "v2", "blobs", "sha256", hex[:2], hex, "data")
}

// Uploads are the uploads that were begun and not ended.
func (r *Registry) Uploads(t testing.TB) []string {
	t.Helper()
	var uploads []string
	err := filepath.WalkDir(r.path("data"), func(name string, d fs.DirEntry, err error) error {
		if err == nil && filepath.Base(filepath.Dir(name)) == "_uploads" {
			uploads = append(uploads, name)
			return fs.SkipDir
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return uploads
}

// Proxy passes requests on to the registry, except where meddle returns a
// handler for one. It returns the proxy's address.
func (r *Registry) Proxy(t testing.TB, meddle func(*http.Request) http.Handler) string {
	t.Helper()
	return startProxy(t, r.Addr, meddle)
}
