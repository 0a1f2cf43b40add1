package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/opencontainers/go-digest"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/internal/registrytest"
)

// bytewise are changes of a file's bytes.
var bytewise = []struct {
	name   string
	change func([]byte) []byte
}{
	{"one bit flipped", func(b []byte) []byte { b[len(b)/2] ^= 1; return b }},
	{"cut short", func(b []byte) []byte { return b[:len(b)-1] }},
	{"extended", func(b []byte) []byte { return append(b, 0) }},
	{"empty", func([]byte) []byte { return []byte{} }},
	{"same size, other bytes", func(b []byte) []byte { return bytes.Repeat([]byte{7}, len(b)) }},
}

func rewrite(t *testing.T, path string, change func([]byte) []byte) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, change(data), 0o600)
	}
	must(t, err)
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (r *ruin) blob(d digest.Digest) string {
	return filepath.Join(r.path, "blobs/sha256", d.Encoded())
}

func (r *ruin) top() string {
	return r.blob(r.records["demo-api:2.3"].Contents[0].Layers[1].Stored.Digest)
}

func (r *ruin) base() string {
	return r.blob(r.records["demo-api:2.3"].Contents[0].Layers[0].Stored.Digest)
}

func (r *ruin) record() string {
	return filepath.Join(r.path, "archprune/records", r.records["demo-api:2.3"].Name()+".json")
}

func (r *ruin) own(name string) string { return filepath.Join(r.path, "archprune", name) }

// instead puts something else in a file's place.
func instead(t *testing.T, path string, put func(path string) error) {
	t.Helper()
	must(t, os.Remove(path))
	must(t, put(path))
}

func folderOf(files ...string) func(path string) error {
	return func(path string) error {
		if err := os.Mkdir(path, 0o700); err != nil {
			return err
		}
		for _, name := range files {
			if err := os.WriteFile(filepath.Join(path, name), []byte("mine"), 0o600); err != nil {
				return err
			}
		}
		return nil
	}
}

func folderDamage() []kindOfDamage {
	var kinds []kindOfDamage
	add := func(name string, do func(t *testing.T, r *ruin)) { kinds = append(kinds, kindOfDamage{name, do}) }
	for _, b := range bytewise {
		add("blob: "+b.name, func(t *testing.T, r *ruin) { rewrite(t, r.top(), b.change) })
	}
	add("blob: missing", func(t *testing.T, r *ruin) { must(t, os.Remove(r.top())) })
	add("blob: swapped with another", func(t *testing.T, r *ruin) {
		must(t, os.Rename(r.top(), r.top()+".tmp"))
		must(t, os.Rename(r.base(), r.top()))
		must(t, os.Rename(r.top()+".tmp", r.base()))
	})
	add("blob: an empty folder in its place", func(t *testing.T, r *ruin) { instead(t, r.top(), folderOf()) })
	add("blob: a full folder in its place", func(t *testing.T, r *ruin) { instead(t, r.top(), folderOf("letter")) })
	add("blob: a link to a good copy in its place", func(t *testing.T, r *ruin) {
		away := filepath.Join(t.TempDir(), "blob")
		must(t, os.Rename(r.top(), away))
		must(t, os.Symlink(away, r.top()))
	})
	add("blob: a link to nothing in its place", func(t *testing.T, r *ruin) {
		instead(t, r.top(), func(path string) error { return os.Symlink("nowhere", path) })
	})
	add("blob that images share: one bit flipped", func(t *testing.T, r *ruin) { rewrite(t, r.base(), bytewise[0].change) })
	add("config: one bit flipped", func(t *testing.T, r *ruin) {
		rewrite(t, r.blob(r.records["demo-api:2.3"].ConfigDigest()), bytewise[0].change)
	})
	add("manifest: one bit flipped", func(t *testing.T, r *ruin) {
		rewrite(t, r.blob(r.records["demo-api:2.3"].View.Digest), bytewise[0].change)
	})
	add("all blobs: missing", func(t *testing.T, r *ruin) { must(t, os.RemoveAll(filepath.Join(r.path, "blobs"))) })
	for _, b := range bytewise {
		add("record: "+b.name, func(t *testing.T, r *ruin) { rewrite(t, r.record(), b.change) })
	}
	add("record: missing", func(t *testing.T, r *ruin) { must(t, os.Remove(r.record())) })
	add("record: another time in its name", func(t *testing.T, r *ruin) {
		name := filepath.Base(r.record())
		must(t, os.Rename(r.record(), filepath.Join(filepath.Dir(r.record()), "20200101T000000.000Z"+name[len("20200101T000000.000Z"):])))
	})
	add("record: another name", func(t *testing.T, r *ruin) {
		must(t, os.Rename(r.record(), filepath.Join(filepath.Dir(r.record()), "demo-api.json")))
	})
	add("record: a second copy", func(t *testing.T, r *ruin) {
		data, err := os.ReadFile(r.record())
		must(t, err)
		must(t, os.WriteFile(filepath.Join(filepath.Dir(r.record()), "copy.json"), data, 0o600))
	})
	add("record: a folder in its place", func(t *testing.T, r *ruin) { instead(t, r.record(), folderOf()) })
	add("mark: garbage", func(t *testing.T, r *ruin) {
		rewrite(t, r.own("marks/pinned-"+r.records["demo-api:2.4"].Name()+".json"), func([]byte) []byte { return []byte("garbage") })
	})
	add("proofs: garbage", func(t *testing.T, r *ruin) {
		must(t, os.MkdirAll(r.own("proofs"), 0o700))
		must(t, os.WriteFile(r.own("proofs/elsewhere.json"), []byte("garbage"), 0o600))
	})
	for _, name := range []string{"index.json", "oci-layout"} {
		path := func(r *ruin) string { return filepath.Join(r.path, name) }
		add(name+": garbage", func(t *testing.T, r *ruin) { rewrite(t, path(r), func([]byte) []byte { return []byte("garbage") }) })
		add(name+": missing", func(t *testing.T, r *ruin) { must(t, os.Remove(path(r))) })
		add(name+": a folder in its place", func(t *testing.T, r *ruin) { instead(t, path(r), folderOf()) })
	}
	add("format: garbage", func(t *testing.T, r *ruin) {
		rewrite(t, r.own("format"), func([]byte) []byte { return []byte("garbage") })
	})
	add("format: missing", func(t *testing.T, r *ruin) { must(t, os.Remove(r.own("format"))) })
	add("format: newer", func(t *testing.T, r *ruin) {
		rewrite(t, r.own("format"), func([]byte) []byte { return []byte(`{"format":9,"id":"FUTURE"}`) })
	})
	add("folders: those for locks, marks and temporary files missing", func(t *testing.T, r *ruin) {
		for _, dir := range []string{"locks", "marks", "tmp"} {
			must(t, os.RemoveAll(r.own(dir)))
		}
	})
	add("folders: that of the records missing", func(t *testing.T, r *ruin) { must(t, os.RemoveAll(r.own("records"))) })
	add("files of others", func(t *testing.T, r *ruin) {
		for _, name := range []string{"letter", "blobs/sha256/letter", "archprune/records/letter", "archprune/marks/letter"} {
			must(t, os.WriteFile(filepath.Join(r.path, name), []byte("Dear Sir"), 0o600))
		}
	})
	return kinds
}

func TestDamageOfAFolder(t *testing.T) {
	whole := &ruin{path: filepath.Join(t.TempDir(), "archive")}
	whole.archive = whole.path
	f, err := archive.CreateFolder(whole.path, archive.Options{})
	must(t, err)
	fill(t, whole, f)
	testDamage(t, "folder.txtar", folderDamage(), whole, func(t *testing.T, whole *ruin) *ruin {
		path := copied(t, whole.path)
		return &ruin{path: path, archive: path, records: whole.records}
	})
}

// file is the tarball of demo-api:2.3.
func (r *ruin) file(t *testing.T) string {
	t.Helper()
	found, err := filepath.Glob(filepath.Join(r.path, "demo-api_2.3_"+r.records["demo-api:2.3"].Name()+"*"))
	if err != nil || len(found) != 1 {
		t.Fatalf("the tarballs of demo-api:2.3 are %v, %v", found, err)
	}
	return found[0]
}

func tarDamage() []kindOfDamage {
	var kinds []kindOfDamage
	add := func(name string, do func(t *testing.T, r *ruin)) { kinds = append(kinds, kindOfDamage{name, do}) }
	for _, b := range bytewise {
		add("file: "+b.name, func(t *testing.T, r *ruin) { rewrite(t, r.file(t), b.change) })
	}
	add("file: one bit flipped in the first frame", func(t *testing.T, r *ruin) {
		rewrite(t, r.file(t), func(b []byte) []byte { b[40] ^= 1; return b })
	})
	add("file: one bit flipped in its footer", func(t *testing.T, r *ruin) {
		rewrite(t, r.file(t), func(b []byte) []byte { b[len(b)-10] ^= 1; return b })
	})
	add("file: missing", func(t *testing.T, r *ruin) { must(t, os.Remove(r.file(t))) })
	add("file: another name", func(t *testing.T, r *ruin) {
		must(t, os.Rename(r.file(t), filepath.Join(r.path, "carried.tar.zst")))
	})
	add("file: a second copy", func(t *testing.T, r *ruin) {
		data, err := os.ReadFile(r.file(t))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(r.path, "copy.tar.zst"), data, 0o600))
	})
	add("file: a second copy, damaged", func(t *testing.T, r *ruin) {
		data, err := os.ReadFile(r.file(t))
		must(t, err)
		must(t, os.WriteFile(filepath.Join(r.path, "copy.tar.zst"), bytewise[0].change(data), 0o600))
	})
	add("file: a folder in its place", func(t *testing.T, r *ruin) { instead(t, r.file(t), folderOf("letter")) })
	add("mark: garbage", func(t *testing.T, r *ruin) {
		rewrite(t, filepath.Join(r.path, ".archprune/marks/pinned-"+r.records["demo-api:2.4"].Name()+".json"),
			func([]byte) []byte { return []byte("garbage") })
	})
	add("format: garbage", func(t *testing.T, r *ruin) {
		rewrite(t, filepath.Join(r.path, ".archprune/format"), func([]byte) []byte { return []byte("garbage") })
	})
	add("format: missing", func(t *testing.T, r *ruin) { must(t, os.Remove(filepath.Join(r.path, ".archprune/format"))) })
	add("format: newer", func(t *testing.T, r *ruin) {
		rewrite(t, filepath.Join(r.path, ".archprune/format"), func([]byte) []byte { return []byte(`{"format":9,"id":"FUTURE"}`) })
	})
	add("files of others", func(t *testing.T, r *ruin) {
		must(t, os.WriteFile(filepath.Join(r.path, "letter.tar.zst"), []byte("Dear Sir"), 0o600))
	})
	return kinds
}

func TestDamageOfSingleFiles(t *testing.T) {
	whole := &ruin{path: filepath.Join(t.TempDir(), "archive")}
	whole.archive = "tar:" + whole.path
	f, err := archive.CreateTarballs(whole.path, archive.Options{})
	must(t, err)
	fill(t, whole, f)
	testDamage(t, "tar.txtar", tarDamage(), whole, func(t *testing.T, whole *ruin) *ruin {
		path := copied(t, whole.path)
		return &ruin{path: path, archive: "tar:" + path, records: whole.records}
	})
}

// TestDamageOfARegistry is what can be done to a registry's storage, and what it
// makes of it: it keeps the file of a blob that it has.
func TestDamageOfARegistry(t *testing.T) {
	reg := registrytest.Start(t, registrytest.Options{Delete: true})
	var kinds []kindOfDamage
	top := func(r *ruin) string {
		return reg.BlobFile(r.records["demo-api:2.3"].Contents[0].Layers[1].Stored.Digest)
	}
	for _, b := range bytewise {
		kinds = append(kinds, kindOfDamage{"blob: " + b.name, func(t *testing.T, r *ruin) { rewrite(t, top(r), b.change) }})
	}
	kinds = append(kinds, kindOfDamage{"blob: missing", func(t *testing.T, r *ruin) { must(t, os.Remove(top(r))) }})
	whole := &ruin{path: filepath.Join(t.TempDir(), "archive")}
	whole.archive = whole.path
	f, err := archive.CreateFolder(whole.path, archive.Options{})
	must(t, err)
	fill(t, whole, f)
	testDamage(t, "registry.txtar", kinds, whole, func(t *testing.T, whole *ruin) *ruin {
		reg.Wipe(t)
		r := &ruin{path: "docker://" + reg.Addr + "/rollback", records: whole.records}
		r.archive = r.path
		if status, out := command(t, "copy", "--all", "--from", whole.archive, "--to", r.archive, "--progress", "none"); status != 0 {
			t.Fatalf("copy: %s", out)
		}
		return r
	})
}
