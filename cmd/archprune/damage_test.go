package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/urfave/cli/v2"

	"github.com/archprune/archprune/archive"
	"github.com/archprune/archprune/archive/archivetest"
	"github.com/archprune/archprune/engine"
)

// ruin is an archive that is to be damaged, and what is in it.
type ruin struct {
	path    string // of its folder
	archive string // for --archive
	records map[string]*archive.Record
	blobs   map[string]string // what a digest is called in golden files
}

// kindOfDamage does something to an archive.
type kindOfDamage struct {
	name string
	do   func(t *testing.T, r *ruin)
}

// The images of a ruin: two releases that share a base, and an older image
// under the name of the first.
var ruinImages = []string{"demo-api:2.3", "demo-api:2.4"}

// fill archives the images of a ruin.
func fill(t *testing.T, r *ruin, f *archive.Archive) {
	t.Helper()
	base := archivetest.Layer(t, strings.Repeat("base ", 100))
	old := archivetest.NewImage(t, "demo-api:2.3", archivetest.Layer(t, "old"))
	r.records, r.blobs = map[string]*archive.Record{}, map[string]string{}
	ingest(t, f, old)
	images := []archivetest.ClassicImage{archivetest.NewImage(t, ruinImages[0], base, archivetest.Layer(t, "three")),
		archivetest.NewImage(t, ruinImages[1], base, archivetest.Layer(t, "four"))}
	for i, record := range ingest(t, f, images...) {
		name := ruinImages[i]
		r.records[name] = record
		r.blobs[record.ConfigDigest().String()] = "<config of " + name + ">"
		r.blobs[record.View.Digest.String()] = "<manifest of " + name + ">"
		r.blobs[record.Contents[0].Layers[0].Stored.Digest.String()] = "<base>"
		r.blobs[record.Contents[0].Layers[1].Stored.Digest.String()] = "<top of " + name + ">"
	}
	if err := f.Pin(t.Context(), r.records["demo-api:2.4"]); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
}

func ingest(t *testing.T, f *archive.Archive, images ...archivetest.ClassicImage) []*archive.Record {
	t.Helper()
	all := make([]engine.Image, len(images))
	for i, img := range images {
		all[i] = img.Image
	}
	done, err := f.Ingest(t.Context(), bytes.NewReader(archivetest.ClassicSave(t, images...)), all, archivetest.ClassicInfo)
	if err != nil {
		t.Fatal(err)
	}
	var records []*archive.Record
	for _, in := range done {
		if in.Err != nil {
			t.Fatal(in.Err)
		}
		records = append(records, in.Record)
	}
	return records
}

// openRuin opens the archive as a command does.
func openRuin(t *testing.T, r *ruin) *archive.Archive {
	t.Helper()
	var f *archive.Archive
	a := &app{now: time.Now}
	c := a.cli()
	c.Commands = []*cli.Command{{Name: "open", Flags: readFlags(), Action: func(c *cli.Context) (err error) {
		f, err = a.readArchive(c)
		return err
	}}}
	if err := c.RunContext(t.Context(), []string{"archprune", "open", "--archive", r.archive}); err != nil {
		t.Fatal(err)
	}
	return f
}

// testDamage tries each kind of damage. The golden file tells what verify says of it, what
// it repairs alone, and with the help of another archive; what can be restored is tried.
func testDamage(t *testing.T, golden string, kinds []kindOfDamage, whole *ruin, again func(t *testing.T, whole *ruin) *ruin) {
	without(t)
	golden = filepath.Join("..", "..", "testdata", "damage", golden)
	want, err := txtar.ParseFile(golden)
	if err != nil && os.Getenv("UPDATE") == "" {
		t.Fatal(err)
	}
	var got txtar.Archive
	for _, kind := range kinds {
		t.Run(kind.name, func(t *testing.T) {
			text := tell(t, kind, whole, again)
			got.Files = append(got.Files, txtar.File{Name: kind.name, Data: []byte(text)})
			if os.Getenv("UPDATE") != "" {
				return
			}
			if wanted := section(want, kind.name); text != wanted {
				t.Errorf("got\n%s\nwant\n%s", text, wanted)
			}
		})
	}
	if os.Getenv("UPDATE") == "" {
		if len(want.Files) != len(kinds) {
			t.Errorf("%s has %d kinds of damage, there are %d", golden, len(want.Files), len(kinds))
		}
		return
	}
	got.Comment = []byte("What archprune verify says of each kind of damage, and what it repairs.\nUPDATE=1 go test -run Damage ./cmd/archprune writes it anew.\n\n")
	if err := os.WriteFile(golden, txtar.Format(&got), 0o644); err != nil {
		t.Fatal(err)
	}
}

func section(a *txtar.Archive, name string) string {
	for _, f := range a.Files {
		if f.Name == name {
			return string(f.Data)
		}
	}
	return ""
}

// without leaves no engine and no settings of this host to the commands.
func without(t *testing.T) {
	t.Helper()
	t.Setenv("DOCKER_HOST", "unix:///nonexistent/docker.sock")
	for _, name := range []string{"ARCHPRUNE_ARCHIVE", "ARCHPRUNE_TRUST_KEY", "ARCHPRUNE_SIGN_KEY", "ARCHPRUNE_CONFIG", "DOCKER_CONTEXT"} {
		t.Setenv(name, "") // puts it back in the end
		must(t, os.Unsetenv(name))
	}
	t.Setenv("DOCKER_CONFIG", t.TempDir())
	t.Setenv("ARCHPRUNE_JOURNAL", t.TempDir())
	was := systemConfig
	systemConfig = filepath.Join(t.TempDir(), "none.yaml")
	t.Cleanup(func() { systemConfig = was })
}

// tell damages copies of the archive and tells what verify says of them.
func tell(t *testing.T, kind kindOfDamage, whole *ruin, again func(t *testing.T, whole *ruin) *ruin) string {
	t.Helper()
	var text strings.Builder
	r := again(t, whole)
	kind.do(t, r)
	verify := func(title string, about func(line string) bool, args ...string) {
		status, out := command(t, append([]string{"verify", "--archive", r.archive, "--progress", "none"}, args...)...)
		fmt.Fprintf(&text, "%s: exit status %d\n", title, status)
		for line := range strings.Lines(normal(out, whole, r)) {
			if line = strings.TrimRight(line, " \n"); line != "" && about(line) {
				text.WriteString("  " + line + "\n")
			}
		}
		claimsHold(t, r)
	}
	verify("verify", func(string) bool { return true })
	repairs := regexp.MustCompile(`(?i)^(not )?repaired: |^archprune: `)
	verify("verify --repair", func(line string) bool { return repairs.MatchString(line) && !strings.Contains(line, "not looked for") }, "--repair")
	verify("verify after that", func(string) bool { return false })
	r = again(t, whole)
	kind.do(t, r)
	verify("verify --repair --from WHOLE", repairs.MatchString, "--repair", "--from", whole.archive)
	verify("verify after that", func(string) bool { return false })
	return text.String()
}

// command runs archprune and returns its status and what it says.
func command(t *testing.T, args ...string) (status int, out string) {
	t.Helper()
	var both bytes.Buffer
	status = run(t.Context(), append([]string{"archprune"}, args...), strings.NewReader(""), &both, &both)
	return status, both.String()
}

func normal(out string, whole, r *ruin) string {
	for d, name := range whole.blobs {
		out = strings.ReplaceAll(out, d, name)
	}
	out = strings.ReplaceAll(out, r.archive, "ARCHIVE")
	out = strings.ReplaceAll(out, r.path, "ARCHIVE")
	out = strings.ReplaceAll(out, whole.archive, "WHOLE")
	for _, v := range volatile {
		out = v.find.ReplaceAllString(out, v.put)
	}
	return out
}

// claimsHold compares what verify says can be restored with what a restore is
// given.
func claimsHold(t *testing.T, r *ruin) {
	t.Helper()
	var out, complaint bytes.Buffer
	status := run(t.Context(), []string{"archprune", "verify", "--archive", r.archive, "--progress", "none", "--json"}, strings.NewReader(""), &out, &complaint)
	var doc struct {
		Images []imageFinding `json:"images"`
	}
	if json.Unmarshal(out.Bytes(), &doc) != nil {
		if status != exitDamaged && status != exitFailed || out.Len() > 0 {
			t.Errorf("verify --json ends with %d and says %s %s", status, &out, &complaint)
		}
		return
	}
	f := openRuin(t, r)
	defer f.Close()
	catalog, err := f.Catalog(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, img := range doc.Images {
		if img.Damaged && status != exitDamaged {
			t.Errorf("%v is damaged, and verify ends with %d", img.References, status)
		}
		for _, record := range catalog.Records {
			if record.Name() != img.Record {
				continue
			}
			if err := givenOut(t.Context(), f, record); (err == nil) != img.Restorable {
				t.Errorf("verify says of %v that it can be restored: %v; a restore says %v", img.References, img.Restorable, err)
			}
		}
	}
}

// givenOut is the error with which a restore is given an image.
func givenOut(ctx context.Context, f *archive.Archive, r *archive.Record) error {
	load, err := f.Load(ctx, r, r.Store, nil)
	if err != nil {
		return err
	}
	return load.Write(ctx, io.Discard, nil)
}

// copied is a copy of a folder, as cp -a makes it.
func copied(t *testing.T, from string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), "archive")
	if out, err := exec.Command("cp", "-a", from, to).CombinedOutput(); err != nil {
		t.Fatalf("cp: %v: %s", err, out)
	}
	return to
}
