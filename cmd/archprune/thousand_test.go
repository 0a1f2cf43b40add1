package main

import (
	"archive/tar"
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/engine"
	"github.com/archprune/archprune/internal/durable"
	"github.com/archprune/archprune/internal/ui"
)

// saved is what an engine sends when images are saved, made up here: a real
// one would need minutes for a thousand.
type saved struct {
	t      testing.TB
	b      bytes.Buffer
	tw     *tar.Writer
	seen   map[digest.Digest]bool
	images []engine.Image
	items  []map[string]any
}

func newSaved(t testing.TB) *saved {
	s := &saved{t: t, seen: map[digest.Digest]bool{}}
	s.tw = tar.NewWriter(&s.b)
	return s
}

func (s *saved) file(name string, data []byte) {
	if err := s.tw.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(data))}); err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.tw.Write(data); err != nil {
		s.t.Fatal(err)
	}
}

func (s *saved) blob(data []byte) (digest.Digest, string) {
	d := digest.FromBytes(data)
	name := "blobs/sha256/" + d.Encoded()
	if !s.seen[d] {
		s.seen[d] = true
		s.file(name, data)
	}
	return d, name
}

// image adds an image with layers of random content.
func (s *saved) image(name string, layers ...[]byte) {
	config := ocispec.Image{Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"}}
	config.Config.Labels = map[string]string{"name": name}
	var files []string
	for _, l := range layers {
		d, file := s.blob(l)
		config.RootFS.DiffIDs = append(config.RootFS.DiffIDs, d)
		files = append(files, file)
	}
	data, err := json.Marshal(config)
	if err != nil {
		s.t.Fatal(err)
	}
	id, file := s.blob(data)
	s.images = append(s.images, engine.Image{ID: id, DiffIDs: config.RootFS.DiffIDs, References: []string{name}, Platform: "linux/amd64"})
	s.items = append(s.items, map[string]any{"Config": file, "Layers": files})
}

func (s *saved) end() *bytes.Buffer {
	data, err := json.Marshal(s.items)
	if err != nil {
		s.t.Fatal(err)
	}
	s.file("manifest.json", data)
	if err := s.tw.Close(); err != nil {
		s.t.Fatal(err)
	}
	return &s.b
}

func randomLayer(r *rand.Rand) []byte {
	data := make([]byte, 20_000+r.IntN(40_000))
	for i := range data {
		data[i] = byte(r.Uint32())
	}
	return data
}

// unsynced is a file system that does not wait for the disk.
type unsynced struct{ durable.FS }

func (u unsynced) Create(name string, perm fs.FileMode) (durable.File, error) {
	f, err := u.FS.Create(name, perm)
	return unsyncedFile{f}, err
}

func (unsynced) SyncDir(string) error { return nil }

type unsyncedFile struct{ durable.File }

func (unsyncedFile) Sync() error { return nil }

// thousand makes an archive of 1,000 images: 50 releases each of 20 programs
// that share a base.
func thousand(t testing.TB) string {
	t.Helper()
	r := rand.New(rand.NewPCG(1, 2))
	s := newSaved(t)
	for program := range 20 {
		base := randomLayer(r)
		for release := range 50 {
			s.image(fmt.Sprintf("demo-%02d:1.%d", program, release), base, randomLayer(r))
		}
	}
	path := filepath.Join(t.TempDir(), "archive")
	f, err := archive.CreateFolder(path, archive.Options{FS: func(fsys durable.FS) durable.FS { return unsynced{fsys} }})
	if err != nil {
		t.Fatal(err)
	}
	info := engine.Info{ID: "none", Store: engine.Classic, Version: "28.5.2", Host: "test"}
	results, err := f.Ingest(t.Context(), s.end(), s.images, info)
	if err != nil || len(results) != 1000 {
		t.Fatalf("Ingest = %d results, %v", len(results), err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}

// du is what the program du says that a folder takes on the disk, in bytes.
func du(t testing.TB, dir string) int64 {
	t.Helper()
	out, err := exec.Command("du", "-s", "--block-size=1", dir).Output()
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.ParseInt(strings.Fields(string(out))[0], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestForgetAThousand forgets most of 1,000 images and compares what it says
// with what du measures.
func TestForgetAThousand(t *testing.T) {
	t.Setenv("DOCKER_HOST", "unix://"+filepath.Join(t.TempDir(), "none.sock"))
	path := thousand(t)
	whole, blobs, records := du(t, path), du(t, filepath.Join(path, "blobs")), du(t, filepath.Join(path, "archprune"))
	var stdout, stderr bytes.Buffer
	archprune := func(args ...string) {
		t.Helper()
		stdout.Reset()
		started := time.Now()
		code := run(t.Context(), append([]string{"archprune"}, args...), strings.NewReader(""), &stdout, &stderr)
		t.Logf("archprune %s took %v", strings.Join(args, " "), time.Since(started).Round(time.Millisecond))
		if code != 0 || stderr.Len() > 0 {
			t.Fatalf("exit status %d: %s", code, stderr.String())
		}
	}
	t.Setenv("ARCHPRUNE_ARCHIVE", path)
	t.Setenv("ARCHPRUNE_JOURNAL", t.TempDir())
	archprune("forget", "--keep-last", "5", "--even-last", "--dry-run")
	archprune("forget", "--keep-last", "10", "--even-last", "--force")
	archprune("list", "--forgotten", "--quiet")
	if got := strings.Count(stdout.String(), "\n"); got != 800 {
		t.Errorf("%d images are forgotten, want 800", got)
	}
	if now := du(t, filepath.Join(path, "blobs")); now != blobs {
		t.Errorf("blobs took %d bytes, and %d within the grace", blobs, now)
	}
	archprune("forget", "--keep-last", "5", "--even-last", "--grace", "0", "--min-age", "0", "--force")
	for action, want := range map[string]int{"   keep      ": 100, "   remove    ": 100, "\ndeleted: demo-": 900} {
		if got := strings.Count(stdout.String(), action); got != want {
			t.Errorf("%q stands there %d times, want %d", action, got, want)
		}
	}
	lines := strings.Split(strings.TrimSpace(stdout.String()), "\n")
	t.Logf("%s\n...\n%s", strings.Join(lines[:8], "\n"), lines[len(lines)-1])
	freed := blobs - du(t, filepath.Join(path, "blobs"))
	if got, want := lines[len(lines)-1], "Total reclaimed space: "+ui.Size(freed); got != want {
		t.Errorf("%q, but du says %q (%d bytes)", got, want, freed)
	}
	if all := whole - du(t, path); all < freed || all-freed > records {
		t.Errorf("du says that the archive shrank by %d, its blobs by %d; its records took %d", all, freed, records)
	}
	archprune("verify", "--progress", "none")
}
