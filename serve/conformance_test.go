//go:build conformance

package serve_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/image-spec/specs-go"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/archive"
)

// conformance is the test program of the OCI distribution specification. It is
// run as a program of its own: it is no dependency of this module.
const conformance = "github.com/opencontainers/distribution-spec/conformance@v0.0.0-20260831232431-97274622c111"

// TestConformance runs the parts for pull and content discovery against the
// real command. What is about pushing and deleting does not apply.
func TestConformance(t *testing.T) {
	bin := t.TempDir()
	build(t, bin, "build", "-o", bin, "../cmd/archprune")
	build(t, bin, "install", conformance)
	a, subject := conformanceArchive(t)
	cert, key := filepath.Join(bin, "cert.pem"), filepath.Join(bin, "key.pem")
	writeTLSPair(t, cert, key)
	users := filepath.Join(bin, "users")
	if err := os.WriteFile(users, []byte(htpasswd(t, "ops", "rollback")), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name  string
		flags []string
		env   []string
	}{
		{"plain", nil, []string{"OCI_TLS=disabled"}},
		{"password and TLS", []string{"--tls-cert", cert, "--tls-key", key, "--htpasswd", users},
			[]string{"OCI_TLS=enabled", "SSL_CERT_FILE=" + cert, "OCI_USERNAME=ops", "OCI_PASSWORD=rollback"}},
		{"gzip", []string{"--gzip"}, []string{"OCI_TLS=disabled"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := startCommand(t, filepath.Join(bin, "archprune"), a, tt.flags)
			tests := runConformance(t, filepath.Join(bin, "conformance"), append(tt.env, c.data(subject)...))
			report(t, tests)
		})
	}
}

// writeTLSPair writes the certificate of Go's own test servers, and its key.
func writeTLSPair(t *testing.T, cert, key string) {
	t.Helper()
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	pair := server.TLS.Certificates[0]
	keyDER, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: pair.Certificate[0]}, key: {Type: "PRIVATE KEY", Bytes: keyDER}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func build(t *testing.T, bin string, args ...string) {
	t.Helper()
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), "GOBIN="+bin)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// conformanceArchive has tags of both kinds of store in one repository, an
// index among them, and an artifact about one of its images.
func conformanceArchive(t *testing.T) (a *archive.Archive, subject ocispec.Descriptor) {
	t.Helper()
	a = newArchive(t)
	save(t, a, classic(t, "demo-api:2.2", layer(t, "base", 700_000), layer(t, "2.2", 5000)))
	save(t, a, classic(t, "demo-api:2.3", layer(t, "base", 700_000), layer(t, "2.3", 5000)))
	b := newTarball(t)
	save(t, a, b.layout("docker.io/library/demo-api:2.4", b.image("amd64", asPlain(layer(t, "2.4", 5000)))))
	b = newTarball(t)
	img := b.image("amd64", asGzip(t, layer(t, "2.5", 5000)))
	m := ocispec.Manifest{Versioned: specs.Versioned{SchemaVersion: 2}, MediaType: ocispec.MediaTypeImageManifest, ArtifactType: "application/spdx+json",
		Config: b.blob("application/vnd.oci.empty.v1+json", []byte("{}")), Layers: []ocispec.Descriptor{b.blob("application/spdx+json", []byte(`{"spdx":1}`))},
		Subject: &ocispec.Descriptor{MediaType: img.MediaType, Digest: img.Digest, Size: img.Size}}
	save(t, a, b.layout("docker.io/library/demo-api:2.5", b.index(img, b.blob(m.MediaType, encode(t, m)))))
	return a, img
}

// startCommand runs archprune serve until the test ends, which it must do well.
func startCommand(t *testing.T, program string, a *archive.Archive, flags []string) *client {
	t.Helper()
	cmd := exec.Command(program, append([]string{"serve", "--archive", a.Location(), "--listen", "127.0.0.1:0"}, flags...)...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stderr)
	var url string
	for url == "" && lines.Scan() {
		_, url, _ = strings.Cut(lines.Text(), " on ")
	}
	drained := make(chan struct{})
	go func() {
		defer close(drained)
		for lines.Scan() { // the log, lest the command waits for it to be read
		}
	}()
	t.Cleanup(func() {
		if err := cmd.Process.Signal(syscall.SIGINT); err != nil {
			t.Error(err)
		}
		<-drained
		if err := cmd.Wait(); err != nil {
			t.Errorf("archprune serve ended with %v", err)
		}
	})
	if url == "" {
		t.Fatal("archprune serve did not start")
	}
	return &client{t: t, url: url, http: &http.Client{Timeout: time.Minute, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}, header: []string{"Authorization: Basic b3BzOnJvbGxiYWNr"}}
}

// data tells the program what there is to pull, as this server gives it out.
func (c *client) data(subject ocispec.Descriptor) []string {
	c.t.Helper()
	var tags, manifests, blobs []string
	for _, tag := range []string{"2.2", "2.3", "2.4", "2.5"} {
		tags = append(tags, tag)
		p := c.pull("demo-api", tag)
		manifests = append(manifests, p.id.String())
		blobs = append(blobs, p.config.String())
		for _, l := range p.layers {
			blobs = append(blobs, l.Digest.String())
		}
	}
	manifests = append(manifests, subject.Digest.String())
	slices.Sort(blobs)
	address := c.url[strings.LastIndex(c.url, "/")+1:]
	if _, _, err := net.SplitHostPort(address); err != nil {
		c.t.Fatal(err)
	}
	return []string{"OCI_REGISTRY=" + address, "OCI_REPO1=demo-api", "OCI_REPO2=demo-api",
		"OCI_RO_DATA_TAGS=" + strings.Join(tags, " "), "OCI_RO_DATA_MANIFESTS=" + strings.Join(manifests, " "),
		"OCI_RO_DATA_BLOBS=" + strings.Join(slices.Compact(blobs), " "), "OCI_RO_DATA_REFERRERS=" + subject.Digest.String()}
}

// conformanceTest is a test of the program and what became of it, in the words
// of the program: Pass, Skip, Disabled, FAIL or Error.
type conformanceTest struct{ name, status string }

var (
	testLine   = regexp.MustCompile(`^( *)OCI Conformance Test/?(.*): (\w+)$`)
	resultLine = regexp.MustCompile(`(?m)^OCI Conformance Result: (\w+)$`)
)

// runConformance returns the tests that the program ran. They are read from
// what it prints: where pushing is off it crashes after that, before it writes
// its other reports and its verdict to the exit status. That manifests have a
// digest in their header it can't see for content that it has not pushed.
func runConformance(t *testing.T, program string, env []string) []conformanceTest {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, program)
	cmd.Dir = t.TempDir()
	cmd.Env = slices.Concat(os.Environ(), env, []string{"OCI_API_PULL=true", "OCI_API_TAGS_LIST=true", "OCI_API_REFERRER=true", "OCI_API_BLOBS_DIGEST_HEADER=true",
		"OCI_API_PUSH=false", "OCI_API_BLOBS_DELETE=false", "OCI_API_MANIFESTS_DELETE=false", "OCI_API_TAGS_DELETE=false"})
	out, _ := cmd.CombinedOutput()
	if result := resultLine.FindSubmatch(out); result == nil || string(result[1]) != "Pass" {
		t.Errorf("the program's result is not Pass:\n%s", out)
	}
	var tests []conformanceTest
	depth := -1
	for line := range strings.Lines(string(out)) {
		m := testLine.FindStringSubmatch(strings.TrimRight(line, "\n"))
		if m == nil {
			continue
		}
		if len(m[1]) > depth && len(tests) > 0 {
			tests = tests[:len(tests)-1] // it is what the ones that follow are part of
		}
		depth = len(m[1])
		tests = append(tests, conformanceTest{m[2], m[3]})
	}
	return tests
}

// report prints how often each test ran and what became of it. Each kind that
// is about pull and content discovery must have passed.
func report(t *testing.T, tests []conformanceTest) {
	t.Helper()
	counts, total := map[conformanceTest]int{}, map[string]int{}
	var order []conformanceTest
	for _, test := range tests {
		if counts[test] == 0 {
			order = append(order, test)
		}
		counts[test]++
		total[test.status]++
		if !slices.Contains([]string{"Pass", "Skip", "Disabled"}, test.status) {
			t.Errorf("%s: %s", test.name, test.status)
		}
	}
	var b strings.Builder
	for _, test := range order {
		fmt.Fprintf(&b, "  %-8s %3d  %s\n", test.status, counts[test], test.name)
	}
	t.Logf("%d tests: %d passed, %d skipped, %d disabled (push, delete), %d failed\n%s", len(tests),
		total["Pass"], total["Skip"], total["Disabled"], total["FAIL"]+total["Error"]+total["Unknown"], b.String())
	for _, name := range []string{"ping", "empty/tag list", "empty/referrers", "read-only/tag-list", "read-only/head/manifest-head-by-tag",
		"read-only/head/manifest-head-by-digest", "read-only/head/blob-head", "read-only/pull/manifest-by-tag",
		"read-only/pull/manifest-by-digest", "read-only/pull/blob-get", "read-only/referrers", "missing-manifest/by-digest", "missing-manifest/by-tag", "invalid-digest-format/manifest-get"} {
		if counts[conformanceTest{name, "Pass"}] == 0 {
			t.Errorf("%s did not pass", name)
		}
	}
}
